"""BinaryConnect (Courbariaux, Bengio, David; NIPS 2015; arXiv 1511.00363)."""

from __future__ import annotations

import torch
from torch import Tensor

from ttq_repro.quantizers.base import binary_codes
from ttq_repro.quantizers.connect import Connect


class BinaryConnect(Connect):
    r"""Weights +1 and -1 without a scale, sampled or given by the sign.

    Forward in training (Eq. 1 to 3), stochastic or deterministic:

    .. math::
        P(w_b = +1) = \sigma(w) = \mathrm{clip}\left(\frac{w + 1}{2}, 0, 1\right), \qquad
        w_b = \mathrm{sign}(w)

    Backward, clipping, evaluation and options are those of :class:`Connect`.

    The trap: clipping after the update is part of the method. Without it, a weight far outside
    [-1, 1], whose sign and probability no longer change, never comes back. Also, evaluation after
    stochastic training uses the real-valued weights, so that the tested network is not binary.

    sign(0) is +1, so that there are only two levels.
    """

    values = (-1, 1)

    def sample(self, latent: Tensor) -> Tensor:
        draw = torch.rand_like(latent, dtype=torch.float32)
        return torch.where(draw < (latent + 1) / 2, 1.0, -1.0)

    def round(self, latent: Tensor) -> Tensor:
        return binary_codes(latent)
