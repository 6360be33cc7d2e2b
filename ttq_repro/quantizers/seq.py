"""Stretched Elastic Quantization of ParetoQ (Liu et al.; NeurIPS 2025; arXiv 2502.02631)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ttq_repro.quantizers.base import Levels, Quantizer, ternary_levels
from ttq_repro.quantizers.gradients import scale_gradient, straight_through
from ttq_repro.quantizers.magnitude import dims_of

# Half the number of levels: the clip range of 2 holds three equal bins, one per level.
LEVELS_PER_UNIT = 1.5
# Just inside the outer edge of the last bin, where rounding would give a fourth level.
CLIP = 0.99
SMALLEST_RANGE = 1e-5


class SEQ(Quantizer):
    r"""Ternary weights :math:`\{-\frac23\alpha, 0, +\frac23\alpha\}`, one trained range per filter.

    Forward (section 4 with k = 3 levels), over each output filter of a layer of n weights:

    .. math::
        w_q = \frac{\alpha}{1.5} \, \mathrm{round}(1.5 \, \mathrm{clip}(w / \alpha, -0.99, 0.99))

    Backward, with :math:`g = \partial L / \partial w_q`, from straight-through rounding:

    .. math::
        \partial w = g \; 1[\,|w| < 0.99\,\alpha\,], \qquad
        \partial \alpha = \frac{1}{\sqrt n} \sum g \cdot
            \begin{cases}
                (w_q - w) / \alpha & |w| < 0.99\,\alpha \\ \pm \frac23 & \text{else}
            \end{cases}

    Chosen among the ternary schemes of the 2020s because ParetoQ compared them at equal training
    and found it best: its ternary model of 600M parameters beats the previous best one of 3B. It
    adds no cost at inference and needs no change of the recipe.

    The trap: it is LSQ (step :math:`s = \frac23\alpha`) except that the clip lies at 1.5 s, not at
    s. So the three levels get bins of equal width, and weights in the outer bins still receive a
    gradient, while those beyond s get none in LSQ. The source writes a clip at 1; 0.99 is from its
    released code, because at 1 rounding would give a fourth level. Beyond the clip that code uses
    :math:`\pm 1` for the range's gradient instead of the derivative :math:`\pm\frac23`.

    The range starts at the filter's largest magnitude (as in the released code) and is clamped to
    at least 0.00001 after every optimizer step; it has no weight decay.

    Shapes: weights (out, ...); ranges (out, 1, ...) in units of the weights.
    """

    def __init__(self) -> None:
        super().__init__()
        self.range = nn.Parameter(torch.tensor(1.0))

    def initialize(self, latent: Tensor) -> None:
        largest = latent.abs().amax(dim=dims_of(latent, "filter"), keepdim=True)
        self.range = nn.Parameter(largest.clamp(min=SMALLEST_RANGE).clone())

    def forward(self, latent: Tensor) -> Tensor:
        bound = scale_gradient(self.range, latent.numel() ** -0.5)
        bins = _bins(latent, bound)
        return (bound / LEVELS_PER_UNIT * straight_through(bins.round(), bins)).to(latent.dtype)

    def codes(self, latent: Tensor) -> Tensor:
        """-1, 0 or +1 for each weight (int8)."""
        return _bins(latent, self.range).round().to(torch.int8)

    def levels(self, latent: Tensor) -> Levels:
        level = self.range / LEVELS_PER_UNIT
        return ternary_levels(level, level)

    def after_step(self, latent: Tensor) -> None:
        self.range.clamp_(min=SMALLEST_RANGE)


def _bins(latent: Tensor, bound: Tensor) -> Tensor:
    """The weights in units of the distance of two levels, clipped."""
    return LEVELS_PER_UNIT * (latent / bound).clamp(-CLIP, CLIP)
