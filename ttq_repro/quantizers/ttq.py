"""Trained Ternary Quantization (Zhu, Han, Mao, Dally; ICLR 2017; arXiv 1612.01064)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from ttq_repro.checks import check_choice, check_flag, check_fraction, check_number
from ttq_repro.quantizers.base import Levels, Quantizer, ternary_levels
from ttq_repro.quantizers.gradients import scale_gradient
from ttq_repro.quantizers.magnitude import Granularity, largest, smallest

Tie = Literal["zero", "unit"]
NegativeGradient = Literal["true", "as_printed"]
Reduction = Literal["sum", "mean"]
LatentGradient = Literal["scaled", "straight_through"]
Normalize = Literal["none", "max"]

THRESHOLD = 0.05
SMALLEST_SCALE = 1e-3
#: Marks a threshold that was not given, as None is a valid value.
UNSET: Any = object()


class TTQ(Quantizer):
    r"""Ternary weights :math:`\{-W_n, 0, +W_p\}` with both scales and the assignment trained.

    Forward, with :math:`\Delta = t \max|w|` over the layer (Eq. 6), treated as a constant:

    .. math:: w_t = W_p \;(w > \Delta), \qquad 0 \;(|w| \le \Delta), \qquad -W_n \;(w < -\Delta)

    Backward, with :math:`g = \partial L / \partial w_t` (Eq. 7 and 8):

    .. math::
        \partial W_p = \sum_{w > \Delta} g, \qquad
        \partial W_n = -\sum_{w < -\Delta} g, \qquad
        \partial w = g \cdot (W_p \mid 1 \mid W_n)

    The trap: Eq. 7 as printed has no minus in front of the second sum. Followed literally it
    *ascends* the loss in :math:`W_n`. The released training log shows that the authors used the
    true derivative. So does this class, unless ``negative_gradient="as_printed"``.

    Args:
        threshold: t, the threshold as a share of the layer's largest magnitude, in [0, 1); by
            default 0.05, or None if ``sparsity`` is given.
        sparsity: the paper's second mode: this share of the layer's weights, in [0, 1), is zero at
            every step, exact to one weight; the sign of each other weight decides its level (0
            counts as positive). Excludes ``threshold``.
        tie: what a weight with :math:`|w| = \Delta` becomes: ``"zero"`` (the paper) or ``"unit"``,
            that is +1 or -1 by its sign, in addition to the three levels (the released code).
        negative_gradient: ``"true"`` derivative or ``"as_printed"`` in Eq. 7.
        reduction: whether the scale gradients are a ``"sum"`` (Eq. 7) or a ``"mean"`` over their
            weights (the mistake of several ports).
        latent_gradient: ``"scaled"`` by the scales (Eq. 8) or ``"straight_through"``.
        normalize: ``"none"`` takes Eq. 6 and 8 literally; ``"max"`` first divides the latent
            weights by their largest magnitude, which leaves the forward pass unchanged and divides
            the latent gradient by that magnitude.
        tanh: whether the latent weights pass through tanh first, as in the released code of the
            fixed-sparsity mode.
        tied_scales: one scale for both signs, :math:`W_p = W_n` (the ablation of section 4.1);
            ``negative_scale`` is then None.
        positive_scales: whether the scales are clamped to at least 0.001 after each step; in the
            released code nothing keeps them positive.
        granularity: one scale of each sign for the ``"layer"`` (the paper) or for each
            ``"filter"``; the threshold or sparsity is the layer's in either case.
        decay_scales: whether weight decay applies to the scales (it does in the released code).
        init: initial value of both scales (1.0 in the released code; the paper gives none).

    Shapes: latent weights and quantized weights of any shape; the scales are scalars, or
    (out, 1, ...) for each filter.

    Raises:
        TypeError: an argument that should be a number or a bool is something else.
        ValueError: an argument is outside its range, threshold and sparsity are both given or both
            None, or ``tie="unit"`` is combined with a sparsity, which has no ties.
    """

    def __init__(
        self,
        threshold: float | None = UNSET,
        *,
        sparsity: float | None = None,
        tie: Tie = "zero",
        negative_gradient: NegativeGradient = "true",
        reduction: Reduction = "sum",
        latent_gradient: LatentGradient = "scaled",
        normalize: Normalize = "none",
        tanh: bool = False,
        tied_scales: bool = False,
        positive_scales: bool = False,
        granularity: Granularity = "layer",
        decay_scales: bool = True,
        init: float = 1.0,
    ) -> None:
        super().__init__()
        if threshold is UNSET:
            threshold = THRESHOLD if sparsity is None else None
        if (threshold is None) == (sparsity is None):
            raise ValueError(f"give either threshold or sparsity, got {threshold} and {sparsity}")
        if threshold is not None:
            check_fraction("threshold", threshold)
        if sparsity is not None:
            check_fraction("sparsity", sparsity)
            if tie != "zero":
                raise ValueError(f"tie={tie!r} needs a threshold; sparsity={sparsity} has no ties")
        check_choice("tie", tie, Tie)
        check_choice("negative_gradient", negative_gradient, NegativeGradient)
        check_choice("reduction", reduction, Reduction)
        check_choice("latent_gradient", latent_gradient, LatentGradient)
        check_choice("normalize", normalize, Normalize)
        check_choice("granularity", granularity, Granularity)
        check_flag("tanh", tanh)
        check_flag("tied_scales", tied_scales)
        check_flag("positive_scales", positive_scales)
        check_flag("decay_scales", decay_scales)
        check_number("init", init)
        self.threshold = threshold
        self.sparsity = sparsity
        self.tie = tie
        self.negative_gradient = negative_gradient
        self.reduction = reduction
        self.latent_gradient = latent_gradient
        self.normalize = normalize
        self.tanh = tanh
        self.positive_scales = positive_scales
        self.granularity = granularity
        self.decay_scales = decay_scales
        self.positive_scale = nn.Parameter(torch.tensor(float(init)))
        self.negative_scale = None if tied_scales else nn.Parameter(torch.tensor(float(init)))

    def initialize(self, latent: Tensor) -> None:
        if self.granularity == "filter":
            shape = (len(latent), *[1] * (latent.dim() - 1))
            for scale in self.parameters():
                scale.data = scale.data.expand(shape).clone()

    def forward(self, latent: Tensor) -> Tensor:
        latent = self._squash(latent)
        fixed = latent.detach()
        if self.normalize == "max":
            latent = latent / largest(fixed)
        signs = self._signs(fixed)
        up, down = signs.clamp(min=0), signs.clamp(max=0)
        positive, negative = self.scales()
        if self.reduction == "mean":
            tied = self.negative_scale is None
            positive = _per_weight(positive, signs if tied else up)
            negative = _per_weight(negative, signs if tied else down)
        if self.negative_gradient == "as_printed":
            negative = scale_gradient(negative, -1)
        weight = up * positive + down * negative
        if self.tie == "unit":
            weight = weight + (fixed.abs() == self._threshold(fixed)) * fixed.sign()
        slope: Tensor | float = 1.0
        if self.latent_gradient == "scaled":
            slope = (up * positive - down * negative + (1 - signs.abs())).detach()
        # The second term is zero; it is there for the gradient of the latent weights.
        return (weight + slope * (latent - latent.detach())).to(latent.dtype)

    def scales(self) -> tuple[Tensor, Tensor]:
        """W_p and W_n, the same parameter if they are tied."""
        return self.positive_scale, (
            self.positive_scale if self.negative_scale is None else self.negative_scale
        )

    def codes(self, latent: Tensor) -> Tensor:
        """-1, 0 or +1 for each weight (int8); under ``tie="unit"`` ties count as zeros here."""
        return self._signs(self._squash(latent)).to(torch.int8)

    def levels(self, latent: Tensor) -> Levels:
        positive, negative = self.scales()
        return ternary_levels(negative, positive)

    def decayed(self) -> list[nn.Parameter]:
        return list(self.parameters()) if self.decay_scales else []

    def after_step(self, latent: Tensor) -> None:
        if self.positive_scales:
            for scale in self.parameters():
                scale.clamp_(min=SMALLEST_SCALE)

    def extra_repr(self) -> str:
        if self.sparsity is None:
            return f"threshold={self.threshold}"
        return f"sparsity={self.sparsity}"

    def _squash(self, latent: Tensor) -> Tensor:
        return torch.tanh(latent) if self.tanh else latent

    def _threshold(self, weight: Tensor) -> Tensor:
        assert self.threshold is not None
        return self.threshold * weight.abs().amax()

    def _signs(self, weight: Tensor) -> Tensor:
        """1 for the weights that become +W_p, -1 for those that become -W_n, else 0.

        Computed by arithmetic, because a compiled step would keep the masks of comparisons for the
        backward pass; on a CPU, writing and reading these booleans costs more than all else.
        """
        if self.sparsity is None:
            delta = self._threshold(weight)
            return (weight - weight.clamp(-delta, delta)).sign()
        kept = ~smallest(weight, round(self.sparsity * weight.numel()))
        return kept.to(weight.dtype) * (2 * (weight >= 0).to(weight.dtype) - 1)


def _per_weight(scale: Tensor, signs: Tensor) -> Tensor:
    """``scale``, with its gradient divided by the number of weights that use it."""
    # Float16 cannot count beyond 65,504.
    count = signs.abs().float().sum_to_size(scale.shape).clamp(min=1)
    return scale_gradient(scale, (1 / count).to(scale.dtype))
