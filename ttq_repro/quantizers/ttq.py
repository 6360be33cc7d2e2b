"""Trained Ternary Quantization (Zhu, Han, Mao, Dally; ICLR 2017; arXiv 1612.01064)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ttq_repro.quantizers.base import Quantizer

Tie = Literal["zero", "unit"]
NegativeGradient = Literal["true", "as_printed"]
Reduction = Literal["sum", "mean"]
LatentGradient = Literal["scaled", "straight_through"]
Normalize = Literal["none", "max"]


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
    *ascends* the loss in :math:`W_n`. The released training log shows the true derivative at work,
    and so does this class unless ``negative_gradient="as_printed"`` asks for the misprint.

    Args:
        threshold: t, the threshold as a share of the layer's largest magnitude, in [0, 1).
        tie: what a weight with :math:`|w| = \Delta` becomes: ``"zero"`` (the paper) or ``"unit"``,
            that is +1 or -1, a fourth value (the released code).
        negative_gradient: ``"true"`` derivative or ``"as_printed"`` in Eq. 7.
        reduction: the scale gradients are a ``"sum"`` (Eq. 7) or a ``"mean"`` over their weights
            (the mistake of several ports).
        latent_gradient: ``"scaled"`` by the scales (Eq. 8) or ``"straight_through"``.
        normalize: ``"none"`` reads Eq. 6 and 8 as they stand; ``"max"`` divides the latent weights
            by their largest magnitude first, which leaves the forward pass as it is and divides
            the latent gradient by that magnitude.
        decay_scales: whether weight decay applies to the scales (it does in the released code).
        init: first value of both scales (1.0 in the released code; the paper gives none).

    Shapes: latent weights and quantized weights of any shape; the scales are scalars.

    Raises:
        ValueError: an argument is outside its range.
    """

    def __init__(
        self,
        threshold: float = 0.05,
        *,
        tie: Tie = "zero",
        negative_gradient: NegativeGradient = "true",
        reduction: Reduction = "sum",
        latent_gradient: LatentGradient = "scaled",
        normalize: Normalize = "none",
        decay_scales: bool = True,
        init: float = 1.0,
    ) -> None:
        super().__init__()
        if not 0 <= threshold < 1:
            raise ValueError(f"threshold must lie in [0, 1), got {threshold}")
        _check_choice("tie", tie, Tie)
        _check_choice("negative_gradient", negative_gradient, NegativeGradient)
        _check_choice("reduction", reduction, Reduction)
        _check_choice("latent_gradient", latent_gradient, LatentGradient)
        _check_choice("normalize", normalize, Normalize)
        self.threshold = threshold
        self.tie = tie
        self.negative_gradient = negative_gradient
        self.reduction = reduction
        self.latent_gradient = latent_gradient
        self.normalize = normalize
        self.decay_scales = decay_scales
        self.positive_scale = nn.Parameter(torch.tensor(float(init)))
        self.negative_scale = nn.Parameter(torch.tensor(float(init)))

    def forward(self, latent: Tensor) -> Tensor:
        return _Ternarize.apply(
            latent, self.positive_scale, self.negative_scale, self.delta(latent), self
        )

    def delta(self, latent: Tensor) -> Tensor:
        """The threshold on the magnitude of the latent weights, a scalar without gradient."""
        return self.threshold * latent.detach().abs().amax()

    def codes(self, latent: Tensor) -> Tensor:
        """-1, 0 or +1 for each weight (int8); under ``tie="unit"`` ties count as zeros here."""
        delta = self.delta(latent)
        return (latent > delta).to(torch.int8) - (latent < -delta).to(torch.int8)

    def levels(self, latent: Tensor) -> dict[int, Tensor]:
        scale = self.positive_scale.detach()
        return {-1: -self.negative_scale.detach(), 0: torch.zeros_like(scale), 1: scale}

    def decayed(self) -> list[nn.Parameter]:
        return [self.positive_scale, self.negative_scale] if self.decay_scales else []

    def extra_repr(self) -> str:
        return f"threshold={self.threshold}"


class _Ternarize(torch.autograd.Function):
    """Eq. 6 forward; Eq. 7 (with the true sign) and Eq. 8 backward."""

    @staticmethod
    def forward(
        ctx: Any, latent: Tensor, positive: Tensor, negative: Tensor, delta: Tensor, rule: TTQ
    ) -> Tensor:
        ctx.save_for_backward(latent, positive, negative, delta)
        ctx.rule = rule
        weight = torch.where(latent > delta, positive, torch.zeros_like(latent))
        weight = torch.where(latent < -delta, -negative, weight)
        if rule.tie == "unit":
            weight = torch.where(latent.abs() == delta, latent.sign(), weight)
        return weight.to(latent.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        latent, positive, negative, delta = ctx.saved_tensors
        rule: TTQ = ctx.rule
        above, below = latent > delta, latent < -delta
        grad_positive = torch.where(above, grad, 0).sum()
        grad_negative = torch.where(below, grad, 0).sum()
        if rule.reduction == "mean":
            grad_positive = grad_positive / above.sum().clamp(min=1)
            grad_negative = grad_negative / below.sum().clamp(min=1)
        if rule.negative_gradient == "true":
            grad_negative = -grad_negative
        grad_latent = grad
        if rule.latent_gradient == "scaled":
            grad_latent = torch.where(above, grad * positive, grad)
            grad_latent = torch.where(below, grad * negative, grad_latent)
        if rule.normalize == "max":
            grad_latent = grad_latent / latent.abs().amax()
        return (
            grad_latent.to(latent.dtype),
            grad_positive.to(positive.dtype),
            grad_negative.to(negative.dtype),
            None,
            None,
        )


def _check_choice(argument: str, value: str, choices: Any) -> None:
    if value not in choices.__args__:
        raise ValueError(f"{argument} must be one of {', '.join(choices.__args__)}; got {value!r}")
