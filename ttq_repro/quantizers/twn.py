"""Ternary Weight Networks (Li, Zhang, Liu; 2016; arXiv 1605.04711)."""

from __future__ import annotations

import torch
from torch import Tensor

from ttq_repro.checks import check_choice, check_number
from ttq_repro.quantizers.base import Levels, Quantizer, ternary_levels
from ttq_repro.quantizers.gradients import straight_through
from ttq_repro.quantizers.magnitude import Granularity, dims_of, mean_magnitude


class TWN(Quantizer):
    r"""Ternary weights :math:`\{-\alpha, 0, +\alpha\}`; nothing but the latent weights is trained.

    Forward, an approximate minimum of :math:`\|w - w_t\|^2` for weights that are normally or
    uniformly distributed:

    .. math::
        \Delta = 0.7 \, E|w|, \qquad \alpha = E(|w| \;\big|\; |w| > \Delta), \qquad
        w_t = \alpha \, \mathrm{sign}(w) \; (|w| > \Delta), \quad 0 \; (|w| \le \Delta)

    Backward: straight through, :math:`\partial w = \partial L / \partial w_t`; neither
    :math:`\Delta` nor :math:`\alpha` takes a gradient.

    The trap: a widely used port uses 0.75 and computes :math:`\Delta` and :math:`\alpha` per
    filter. That is ``TWN(0.75, granularity="filter")``, a different method with more scales.

    Args:
        factor: the threshold in units of the mean magnitude, at least 0.
        granularity: whether threshold and scale are per ``"layer"`` or per ``"filter"``.

    Shapes: any; the scale is (1, 1, ...), or (out, 1, ...) for each filter.

    Raises:
        TypeError: ``factor`` is not a number.
        ValueError: ``factor`` is negative or not finite, or ``granularity`` is unknown.
    """

    def __init__(self, factor: float = 0.7, *, granularity: Granularity = "layer") -> None:
        super().__init__()
        check_number("factor", factor)
        if factor < 0:
            raise ValueError(f"factor must be 0 or more, got {factor}")
        check_choice("granularity", granularity, Granularity)
        self.factor = factor
        self.granularity = granularity

    def forward(self, latent: Tensor) -> Tensor:
        kept, scale = self._threshold(latent.detach())
        weight = torch.where(kept, latent.detach().sign() * scale, 0)
        return straight_through(weight.to(latent.dtype), latent)

    def codes(self, latent: Tensor) -> Tensor:
        kept, _ = self._threshold(latent)
        return torch.where(kept, latent.sign(), 0).to(torch.int8)

    def levels(self, latent: Tensor) -> Levels:
        _, scale = self._threshold(latent)
        return ternary_levels(scale, scale)

    def extra_repr(self) -> str:
        return f"factor={self.factor}, granularity={self.granularity}"

    def _threshold(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """A mask of the weights that stay nonzero, and their mean magnitude (0 if none do)."""
        magnitude = weight.abs()
        kept = magnitude > self.factor * mean_magnitude(weight, self.granularity)
        dims = dims_of(weight, self.granularity)
        count = kept.sum(dims, keepdim=True).clamp(min=1)
        # A sum over millions of weights would overflow float16.
        wide = torch.promote_types(weight.dtype, torch.float32)
        total = torch.where(kept, magnitude, 0).sum(dims, keepdim=True, dtype=wide)
        return kept, total / count
