"""The absmean quantizer of BitNet b1.58 (Ma et al.; 2024; arXiv 2402.17764)."""

from __future__ import annotations

import torch
from torch import Tensor

from ttq_repro.quantizers.base import Levels, Quantizer, ternary_levels
from ttq_repro.quantizers.gradients import straight_through
from ttq_repro.quantizers.magnitude import mean_magnitude

SMALLEST_SCALE = 1e-5


class AbsMean(Quantizer):
    r"""Ternary weights :math:`\{-\gamma, 0, +\gamma\}` with the mean magnitude as scale.

    Forward (Eq. 1 to 3), over the layer:

    .. math:: \gamma = E|w|, \qquad
        w_q = \gamma \cdot \mathrm{clip}(\mathrm{round}(w / \gamma), -1, 1)

    Backward: :math:`\partial L / \partial w = \partial L / \partial w_q`, straight through, also
    beyond the clip; :math:`\gamma` has no gradient.

    The trap: :math:`\gamma` is the mean over *all* weights, including those that become zero. TWN
    looks alike but averages only the weights beyond its threshold (0.7 E|w|; here it is 0.5 E|w|),
    so that its levels are larger. Without a normalization after the layer, absmean shrinks the
    layer's output.

    Shapes: any; the scale is (1, 1, ...), in units of the weights, at least 0.00001.
    """

    def forward(self, latent: Tensor) -> Tensor:
        scale = self._scale(latent)
        return straight_through(scale * self._ternary(latent, scale), latent)

    def codes(self, latent: Tensor) -> Tensor:
        """-1, 0 or +1 for each weight (int8)."""
        return self._ternary(latent, self._scale(latent)).to(torch.int8)

    def levels(self, latent: Tensor) -> Levels:
        scale = self._scale(latent)
        return ternary_levels(scale, scale)

    @staticmethod
    def _scale(latent: Tensor) -> Tensor:
        return mean_magnitude(latent.detach(), "layer").clamp(min=SMALLEST_SCALE)

    @staticmethod
    def _ternary(latent: Tensor, scale: Tensor) -> Tensor:
        return (latent.detach() / scale).round().clamp(-1, 1)
