"""``ternary::linear`` and ``ternary::conv2d``: layers of 2-bit weights as torch operators.

They compute what ``torch.nn.functional`` computes with the weights of ``codes.Codes``. Float32 on a
CPU goes to the C++ runtime once that is loaded (:func:`ttq_repro.deploy.runtime.build.runtime`),
few rows of a linear layer on a GPU go to Triton, and everything else to torch, with weights that
are unpacked for the call. The operators have no derivative: a backward pass through them raises an
error, but forward-mode differentiation takes the derivative to be zero.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from ttq_repro.deploy.runtime.codes import Codes, Fused, Window, dense_conv2d, dense_linear

LIBRARY = torch.library.Library("ternary", "DEF")
WEIGHTS = "Tensor words, Tensor levels, Tensor scales, Tensor bias"
WINDOW = (
    "int kernel_height, int kernel_width, int stride_height, int stride_width, "
    "int padding_height, int padding_width, int groups"
)
FUSED = "Tensor? norm=None, Tensor? residual=None, bool relu=False"
TAGS = (torch.Tag.pt2_compliant_tag,)
# Which kernels the C++ runtime can use on this processor, and which it is to use: see build.py.
LIBRARY.define("best_kernel() -> int")
LIBRARY.define("use(int kernel) -> ()")
LIBRARY.define(f"linear(Tensor x, {WEIGHTS}) -> Tensor", tags=TAGS)
LIBRARY.define(f"conv2d(Tensor x, {WEIGHTS}, {WINDOW}, {FUSED}) -> Tensor", tags=TAGS)


@torch.library.impl("ternary::linear", "CompositeExplicitAutograd", lib=LIBRARY)
def _linear(x: Tensor, *weights: Tensor) -> Tensor:
    return dense_linear(x, Codes(*weights))


@torch.library.impl("ternary::conv2d", "CompositeExplicitAutograd", lib=LIBRARY)
def _conv2d(x: Tensor, *arguments: Any) -> Tensor:
    return dense_conv2d(x, *_grouped(arguments))


@torch.library.impl("ternary::linear", "CUDA", lib=LIBRARY)
def _linear_on_gpu(x: Tensor, *weights: Tensor) -> Tensor:
    codes = Codes(*weights)
    if find_spec("triton"):
        # Importing Triton takes longer than importing everything else.
        from ttq_repro.deploy.runtime import gpu

        if x.shape[:-1].numel() <= gpu.MOST_ROWS and x.dtype in gpu.TYPES:
            return gpu.linear(x, codes)
    return dense_linear(x, codes)


@torch.library.register_fake("ternary::linear", lib=LIBRARY)
def _shape_of_linear(x: Tensor, *weights: Tensor) -> Tensor:
    codes = Codes(*weights)
    codes.check(x.shape[-1])
    return x.new_empty(*x.shape[:-1], len(codes.bias))


@torch.library.register_fake("ternary::conv2d", lib=LIBRARY)
def _shape_of_conv2d(x: Tensor, *arguments: Any) -> Tensor:
    codes, window, fused = _grouped(arguments)
    window.check(x.shape)
    (height, width), groups = window.kernel, window.groups
    codes.check(x.shape[1] // groups * height * width, groups)
    out = x.new_empty(x.shape[0], *window.places(*x.shape[2:]), len(codes.bias))
    out = out.permute(0, 3, 1, 2)
    fused.check(x.shape, out.shape)
    return out


def _no_derivative(*_: Any) -> None:
    raise RuntimeError(
        "packed networks are for inference: ternary::linear and ternary::conv2d have no "
        'derivative; load the network with weights="dense"'
    )


# Without this, torch would only warn, and leave these layers out of the gradient.
for _operator in ("linear", "conv2d"):
    torch.library.register_autograd(f"ternary::{_operator}", _no_derivative, lib=LIBRARY)


def _grouped(arguments: tuple[Any, ...]) -> tuple[Codes, Window, Fused]:
    """Group the arguments of ``ternary::conv2d`` after the first; torch leaves out defaults."""
    return Codes(*arguments[:4]), Window.of(*arguments[4:11]), Fused(*arguments[11:])
