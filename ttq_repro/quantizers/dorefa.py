"""The weight quantization of DoReFa-Net (Zhou et al.; 2016; arXiv 1606.06160)."""

from __future__ import annotations

import torch
from torch import Tensor

from ttq_repro.checks import check_whole
from ttq_repro.quantizers.base import Levels, Quantizer, binary_codes
from ttq_repro.quantizers.gradients import straight_through
from ttq_repro.quantizers.magnitude import largest, mean_magnitude


class DoReFa(Quantizer):
    r"""Weights of ``bits`` bits; activations and gradients stay at 32 ("1-32-32").

    At 1 bit, with the mean over the layer:

    .. math:: w_b = E|w| \cdot \mathrm{sign}(w), \qquad \partial w = \partial L / \partial w_b

    From 2 bits on, with :math:`n = 2^k - 1`:

    .. math:: w_k = \frac{2}{n} \,\mathrm{round}\!\left(
        n \left(\frac{\tanh w}{2 \max|\tanh w|} + \frac12\right)\right) - 1

    Backward, only the rounding is straight through; tanh and the division by the maximum are
    differentiated.

    The trap: 1 bit is not the second formula at k = 1: it has a scale and no tanh. The scale is per
    layer (BWN's is per filter) and has no gradient. The source leaves the first and the last layer
    in full precision, which is up to the policy here.

    sign(0) is +1, so that there are only two levels at 1 bit.

    Args:
        bits: k, from 1 to 8.

    Shapes: any. Codes: the odd numbers c from -n to n, for the levels c E|w| at 1 bit and c/n from
    2 bits on, where the weights span [-1, 1].

    Raises:
        ValueError: ``bits`` is not a whole number from 1 to 8.
    """

    def __init__(self, bits: int = 1) -> None:
        super().__init__()
        check_whole("bits", bits, 1, 8)
        self.bits = bits
        self.steps = 2**bits - 1

    def forward(self, latent: Tensor) -> Tensor:
        if self.bits == 1:
            scale = mean_magnitude(latent.detach(), "layer")
            return straight_through(torch.where(latent.detach() >= 0, scale, -scale), latent)
        unit = self._to_unit(latent)
        level = self._codes(unit.detach()) / self.steps
        return straight_through(level.to(latent.dtype), 2 * unit - 1)

    def codes(self, latent: Tensor) -> Tensor:
        if self.bits == 1:
            return binary_codes(latent)
        codes = self._codes(self._to_unit(latent))
        return codes.to(torch.int8 if self.bits < 8 else torch.int16)

    def levels(self, latent: Tensor) -> Levels:
        if self.bits == 1:
            scale = mean_magnitude(latent, "layer")
            return {-1: -scale, 1: scale}
        codes = torch.arange(-self.steps, self.steps + 1, 2, device=latent.device)
        return {int(code): level for code, level in zip(codes, codes / self.steps, strict=True)}

    def extra_repr(self) -> str:
        return f"bits={self.bits}"

    def _to_unit(self, latent: Tensor) -> Tensor:
        """The latent weights in [0, 1]."""
        squashed = torch.tanh(latent)
        return squashed / (2 * largest(squashed)) + 0.5

    def _codes(self, unit: Tensor) -> Tensor:
        """The odd codes, as float32 because bfloat16 cannot represent all 8-bit levels."""
        return 2 * torch.round(self.steps * unit).float() - self.steps
