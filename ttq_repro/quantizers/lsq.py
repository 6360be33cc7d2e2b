"""Learned Step Size Quantization, ternary (Esser et al.; ICLR 2020; arXiv 1902.08153)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ttq_repro.quantizers.base import Levels, Quantizer, ternary_levels
from ttq_repro.quantizers.gradients import scale_gradient, straight_through

SMALLEST_STEP = 1e-5


class LSQ(Quantizer):
    r"""Ternary weights :math:`\{-s, 0, +s\}` with a trained step s, which also sets the threshold.

    Forward (Eq. 1 and 2 with :math:`Q_N = Q_P = 1`), over a layer of n weights:

    .. math:: w_q = s \cdot \mathrm{round}(\mathrm{clip}(w / s, -1, 1))

    Backward, with :math:`g = \partial L / \partial w_q` (Eq. 3 and 5):

    .. math::
        \partial w = g \; 1[\,|w| < s\,], \qquad
        \partial s = \frac{1}{\sqrt n} \sum g \cdot
            \begin{cases} \mathrm{round}(w/s) - w/s & |w| < s \\ \pm 1 & \text{else} \end{cases}

    Unlike in TTQ, the two signs share a scale, but the threshold s/2 is trained along with it,
    because the step's gradient depends on how far each weight is from its level.

    The trap: without the factor :math:`1 / \sqrt{n Q_P}` the step, whose gradient sums over the
    layer, learns far faster than the weights and diverges.

    The step starts at :math:`2 E|w|` (section 2.1) and is clamped to at least 0.00001 after every
    optimizer step; it has no weight decay.

    Shapes: any; the step is a scalar in units of the weights.
    """

    def __init__(self) -> None:
        super().__init__()
        self.step = nn.Parameter(torch.tensor(1.0))

    def initialize(self, latent: Tensor) -> None:
        self.step.copy_((2 * latent.abs().mean()).clamp(min=SMALLEST_STEP))

    def forward(self, latent: Tensor) -> Tensor:
        step = scale_gradient(self.step, latent.numel() ** -0.5)
        clipped = _clipped(latent, step)
        return (step * straight_through(clipped.round(), clipped)).to(latent.dtype)

    def codes(self, latent: Tensor) -> Tensor:
        """-1, 0 or +1 for each weight (int8)."""
        return _clipped(latent, self.step).round().to(torch.int8)

    def levels(self, latent: Tensor) -> Levels:
        return ternary_levels(self.step, self.step)

    def after_step(self, latent: Tensor) -> None:
        self.step.clamp_(min=SMALLEST_STEP)


def _clipped(latent: Tensor, step: Tensor) -> Tensor:
    """The weights in steps, clipped to the levels."""
    return (latent / step).clamp(-1, 1)
