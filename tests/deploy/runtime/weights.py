"""Random 2-bit weights, and the exact outputs of their layers in float64."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ttq_repro.deploy.runtime.codes import FILTERS_PER_BLOCK, Codes, Window


def random_codes(depth: int, filters: int, groups: int = 1, terms: int = 1, seed: int = 0) -> Codes:
    """Weights with all four codes, also in the unused filters of the last block."""
    generator = torch.Generator().manual_seed(seed)
    blocks = groups * -(-(filters // groups) // FILTERS_PER_BLOCK)
    words = torch.randint(-(2**31), 2**31, (blocks, depth), generator=generator)
    return Codes(
        words.int(),
        torch.randn(terms, 4, generator=generator),
        torch.randn(terms, filters, generator=generator),
        torch.randn(filters, generator=generator),
    )


def random_input(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def in_float64(codes: Codes) -> Codes:
    return Codes(codes.words, *(tensor.double() for tensor in codes[1:]))


def magnitudes(codes: Codes) -> Codes:
    """The absolute weights: as nothing cancels, their sums give the scale of rounding errors."""
    return Codes(codes.words, *(tensor.abs() for tensor in codes[1:]))


def exact_linear(x: Tensor, codes: Codes) -> Tensor:
    codes = in_float64(codes)
    return F.linear(x.double(), codes.unpacked(), codes.bias)


def exact_conv2d(x: Tensor, codes: Codes, window: Window) -> Tensor:
    codes = in_float64(codes)
    weight = codes.unpacked(window.groups).unflatten(1, (*window.kernel, -1)).permute(0, 3, 1, 2)
    return F.conv2d(
        x.double(), weight, codes.bias, window.stride, window.padding, groups=window.groups
    )
