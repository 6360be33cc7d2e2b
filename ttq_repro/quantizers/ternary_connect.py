"""TernaryConnect (Lin, Courbariaux, Memisevic, Bengio; ICLR 2016; arXiv 1510.03009)."""

from __future__ import annotations

import torch
from torch import Tensor

from ttq_repro.quantizers.connect import Connect


class TernaryConnect(Connect):
    r"""Weights -1, 0 and +1 without a scale, sampled or rounded.

    Forward in training, stochastic (section 3.2) or deterministic to the nearest level (which the
    source does not have):

    .. math::
        w_t = \mathrm{sign}(w) \cdot \mathrm{Bernoulli}(|w|), \qquad
        w_t = \mathrm{sign}(w) \; (|w| > 0.5), \quad 0 \; (|w| \le 0.5)

    Backward, clipping, evaluation and options are those of :class:`Connect`.

    The trap: the levels do not fit trained weights, whose magnitudes are far below 0.5. Rounding
    makes all weights of a full-precision network zero, and a network of zeros has no gradient that
    would change them; sampling makes nearly all zero. Initialize them over the whole of [-1, 1], as
    the source does, or scale a parent's weights to that range with ``rescale``.
    """

    values = (-1, 0, 1)

    def sample(self, latent: Tensor) -> Tensor:
        draw = torch.rand_like(latent, dtype=torch.float32)
        return torch.where(draw < latent.abs(), latent.sign(), 0)

    def round(self, latent: Tensor) -> Tensor:
        return torch.where(latent.abs() > 0.5, latent.sign(), 0)
