"""Random 2-bit weights, and the exact outputs of their layers in float64."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ttq_repro.deploy.runtime.codes import FILTERS_PER_BLOCK, Codes, Fused, Window

NOTHING = Fused()


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


def random_fused(
    x: Tensor, window: Window, filters: int, norm: bool, residual: bool, relu: bool
) -> Fused:
    """Any of what can be fused into a convolution of ``x``."""
    shape = len(x), filters, *window.places(*x.shape[2:])
    return Fused(
        random_input(2, x.shape[1], seed=1) if norm else None,
        random_input(*shape, seed=2) if residual else None,
        relu,
    )


def in_float64(codes: Codes) -> Codes:
    return Codes(codes.words, *(tensor.double() for tensor in codes[1:]))


def magnitudes(codes: Codes) -> Codes:
    """The absolute weights: as nothing cancels, their sums give the scale of rounding errors."""
    return Codes(codes.words, *(tensor.abs() for tensor in codes[1:]))


def magnitude(x: Tensor, codes: Codes, window: Window, fused: Fused) -> Tensor:
    """The scale of rounding errors in a convolution."""
    norm, residual = (tensor if tensor is None else tensor.abs() for tensor in fused[:2])
    return exact_conv2d(x.abs(), magnitudes(codes), window, Fused(norm, residual))


def exact_linear(x: Tensor, codes: Codes) -> Tensor:
    codes = in_float64(codes)
    return F.linear(x.double(), codes.unpacked(), codes.bias)


def exact_conv2d(x: Tensor, codes: Codes, window: Window, fused: Fused = NOTHING) -> Tensor:
    codes, x = in_float64(codes), x.double()
    weight = codes.unpacked(window.groups).unflatten(1, (*window.kernel, -1)).permute(0, 3, 1, 2)
    if fused.norm is not None:
        factor, offset = fused.norm.double().view(2, 1, -1, 1, 1)
        x = (factor * x + offset).clamp(min=0)
    out = F.conv2d(x, weight, codes.bias, window.stride, window.padding, groups=window.groups)
    out = out if fused.residual is None else out + fused.residual.double()
    return out.clamp(min=0) if fused.relu else out
