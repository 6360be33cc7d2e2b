"""``ternary::linear`` and ``ternary::conv2d``: layers of 2-bit weights as operators of torch.

They compute what ``torch.nn.functional`` computes with the weights of ``kernels.Codes``. On a CPU
float32 goes to the C++ runtime. Everything else, and all of it where there is no runtime, goes to
torch with weights that are unpacked for the length of the call; on a GPU few rows of a linear layer
go to Triton. There is no derivative.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ttq_repro.deploy.runtime.kernels import FILTERS_A_BLOCK, Codes, Window, kernels

LIBRARY = torch.library.Library("ternary", "DEF")
WEIGHTS = "Tensor words, Tensor levels, Tensor scales, Tensor bias"
TAGS = (torch.Tag.pt2_compliant_tag,)
LIBRARY.define(f"linear(Tensor x, {WEIGHTS}) -> Tensor", tags=TAGS)
LIBRARY.define(
    f"conv2d(Tensor x, {WEIGHTS}, SymInt[2] kernel, SymInt[2] stride, SymInt[2] padding, "
    "SymInt groups) -> Tensor",
    tags=TAGS,
)


def unpacked(codes: Codes, groups: int = 1) -> Tensor:
    """The weights as floats. Shape: (filters, depth)."""
    depth = codes.words.shape[1]
    places = 2 * torch.arange(FILTERS_A_BLOCK, dtype=torch.int32, device=codes.words.device)
    index = (codes.words.view(groups, -1, 1, depth) >> places[:, None]) & 3
    index = index.view(groups, -1, depth)[:, : codes.filters // groups].reshape(-1, depth)
    terms = zip(codes.levels, codes.scales, strict=True)
    return torch.stack([levels[index] * scale[:, None] for levels, scale in terms]).sum(0)


def dense_linear(x: Tensor, codes: Codes) -> Tensor:
    return F.linear(x, unpacked(codes).to(x.dtype), codes.bias.to(x.dtype))


def dense_conv2d(x: Tensor, codes: Codes, window: Window) -> Tensor:
    weight = unpacked(codes, window.groups).unflatten(1, (*window.kernel, -1))
    weight, bias = weight.permute(0, 3, 1, 2).to(x.dtype), codes.bias.to(x.dtype)
    out = F.conv2d(x, weight, bias, window.stride, window.padding, groups=window.groups)
    return out.contiguous(memory_format=torch.channels_last)


@torch.library.impl("ternary::linear", "CPU", lib=LIBRARY)
def _linear(x: Tensor, *weights: Tensor) -> Tensor:
    runtime = kernels() if x.dtype == torch.float32 else None
    return (runtime.linear if runtime else dense_linear)(x, Codes(*weights))


@torch.library.impl("ternary::linear", "CUDA", lib=LIBRARY)
def _linear_on_gpu(x: Tensor, *weights: Tensor) -> Tensor:
    codes = Codes(*weights)
    if find_spec("triton"):
        # Its import takes longer than that of all the rest.
        from ttq_repro.deploy.runtime import gpu

        if x.shape[:-1].numel() <= gpu.MOST_ROWS:
            return gpu.linear(x, codes)
    return dense_linear(x, codes)


@torch.library.impl("ternary::conv2d", "CPU", lib=LIBRARY)
def _conv2d(x: Tensor, *arguments: Any) -> Tensor:
    runtime = kernels() if x.dtype == torch.float32 else None
    return (runtime.conv2d if runtime else dense_conv2d)(x, *_grouped(arguments))


@torch.library.impl("ternary::conv2d", "CUDA", lib=LIBRARY)
def _conv2d_on_gpu(x: Tensor, *arguments: Any) -> Tensor:
    return dense_conv2d(x, *_grouped(arguments))


@torch.library.register_fake("ternary::linear", lib=LIBRARY)
def _shape_of_linear(x: Tensor, *weights: Tensor) -> Tensor:
    return x.new_empty(*x.shape[:-1], Codes(*weights).filters)


@torch.library.register_fake("ternary::conv2d", lib=LIBRARY)
def _shape_of_conv2d(x: Tensor, *arguments: Any) -> Tensor:
    codes, window = _grouped(arguments)
    out = x.new_empty(x.shape[0], *window.outputs(*x.shape[2:]), codes.filters)
    return out.permute(0, 3, 1, 2)


def _grouped(arguments: tuple[Any, ...]) -> tuple[Codes, Window]:
    """The arguments of ``ternary::conv2d`` after the first."""
    *weights, kernel, stride, padding, groups = arguments
    return Codes(*weights), Window(tuple(kernel), tuple(stride), tuple(padding), groups)
