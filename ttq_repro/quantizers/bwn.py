"""Binary-Weight-Networks (Rastegari, Ordonez, Redmon, Farhadi; 2016; arXiv 1603.05279)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ttq_repro.checks import check_choice, check_flag
from ttq_repro.quantizers.base import Levels, Quantizer, binary_codes
from ttq_repro.quantizers.gradients import straight_through
from ttq_repro.quantizers.magnitude import mean_magnitude

LatentGradient = Literal["straight_through", "derivative", "released"]


class BWN(Quantizer):
    r"""Binary weights :math:`\alpha \, \mathrm{sign}(w)` with a scale for every filter.

    Forward, the least-squares solution for a filter of n weights:

    .. math:: \alpha = \tfrac1n \|w\|_1, \qquad \tilde w = \alpha \, \mathrm{sign}(w)

    Backward, with :math:`g = \partial L / \partial \tilde w`, the source gives three versions:

    .. math::
        \partial w = g, \qquad
        \partial w = g \left(\tfrac1n + \alpha \, [\,|w| < 1\,]\right), \qquad
        \partial w = n \left(1 - \tfrac1c\right) g \left(\tfrac1n + \alpha \, [\,|w| < 1\,]\right)

    The first is that of Algorithm 1 (straight through, the default); the second that of section 3.1
    (``"derivative"``), which omits the gradients that reach a weight from the others through
    :math:`\alpha`; the third that of the released code (``"released"``), with c input channels.

    The trap: the released code does two things that the paper does not mention. Before each step
    it subtracts from the latent weights their mean over the input channels (``center``) and clamps
    them to [-1, 1] (``clamp``). Also, its gradient is zero if c = 1: depthwise filters never train.

    sign(0) is +1, so that there are only two levels.

    Args:
        center, clamp: whether to center and to clamp the latent weights, when attached and after
            each step. Filters with one input channel are not centered, as this would make
            them all zeros.
        latent_gradient: ``"straight_through"``, ``"derivative"`` or ``"released"``.

    Shapes: (out, in, ...); the scales are (out, 1, ...).

    Raises:
        TypeError: ``center`` or ``clamp`` is not a bool.
        ValueError: ``latent_gradient`` is unknown.
    """

    def __init__(
        self,
        *,
        center: bool = False,
        clamp: bool = False,
        latent_gradient: LatentGradient = "straight_through",
    ) -> None:
        super().__init__()
        check_flag("center", center)
        check_flag("clamp", clamp)
        check_choice("latent_gradient", latent_gradient, LatentGradient)
        self.center = center
        self.clamp = clamp
        self.latent_gradient = latent_gradient

    def initialize(self, latent: Tensor) -> None:
        self.after_step(latent)

    def forward(self, latent: Tensor) -> Tensor:
        fixed = latent.detach()
        scale = mean_magnitude(fixed, "filter")
        carrier = latent
        if self.latent_gradient != "straight_through":
            carrier = latent * self._gradient_factor(fixed, scale)
        return straight_through(torch.where(fixed >= 0, scale, -scale), carrier)

    def codes(self, latent: Tensor) -> Tensor:
        return binary_codes(latent)

    def levels(self, latent: Tensor) -> Levels:
        scale = mean_magnitude(latent, "filter")
        return {-1: -scale, 1: scale}

    def after_step(self, latent: Tensor) -> None:
        if self.center and latent.shape[1] > 1:
            latent -= latent.mean(1, keepdim=True)
        if self.clamp:
            latent.clamp_(-1, 1)

    def extra_repr(self) -> str:
        return f"center={self.center}, clamp={self.clamp}, latent_gradient={self.latent_gradient}"

    def _gradient_factor(self, weight: Tensor, scale: Tensor) -> Tensor:
        count = weight[0].numel()
        factor = 1 / count + scale * (weight.abs() < 1)
        if self.latent_gradient == "released":
            factor = count * (1 - 1 / weight.shape[1]) * factor
        return factor.to(weight.dtype)
