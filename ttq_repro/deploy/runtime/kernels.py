"""The C++ kernels on tensors. Every size is checked here, as C++ reads what it is told to."""

from __future__ import annotations

from ctypes import CDLL, Structure, byref, c_int, c_int64, c_void_p
from functools import cache
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ttq_repro.deploy.runtime.build import LEVELS, library

FILTERS_A_BLOCK = 16


class _Weights(Structure):
    """Weights of runtime.cpp."""

    _fields_ = [(name, c_int64) for name in ("groups", "filters", "depth", "terms")] + [
        (name, c_void_p) for name in ("words", "levels", "scales", "bias")
    ]


class _Images(Structure):
    """Images of runtime.cpp."""

    _fields_ = [
        *((name, c_int64) for name in ("images", "channels", "height", "width")),
        ("strides", c_int64 * 4),
        *((name, c_int64 * 2) for name in ("kernel", "stride", "padding")),
    ]


class Codes(NamedTuple):
    """The weights of a layer: ``sum over t of scales[t, filter] * levels[t, code]``.

    One term holds {-W_n, 0, +W_p} of a layer, times a factor for each filter. Where each filter has
    levels of its own, every magnitude is a term.

    Attributes:
        words: (groups * blocks, depth) int32, the 2-bit codes of a block of 16 filters at one
            input, the first filter in the lowest bits. The last block of a group is filled up.
        levels: (terms, 4) float32. scales: (terms, filters) float32, over all groups.
        bias: (filters) float32.
    """

    words: Tensor
    levels: Tensor
    scales: Tensor
    bias: Tensor

    @property
    def filters(self) -> int:
        return self.bias.shape[0]

    def check(self, depth: int, groups: int) -> None:
        """Refuse weights that are not those of filters with ``depth`` inputs each.

        Raises:
            ValueError: the message names the tensor and its shape.
        """
        filters, rest = divmod(self.filters, groups)
        terms = self.scales.shape[0]
        blocks = -(-filters // FILTERS_A_BLOCK)
        wanted = {
            "words": (torch.int32, (groups * blocks, depth)),
            "levels": (torch.float32, (terms, 4)),
            "scales": (torch.float32, (terms, self.filters)),
            "bias": (torch.float32, (self.filters,)),
        }
        if rest or not filters or not depth:
            raise ValueError(f"{self.filters} filters of {depth} inputs in {groups} groups")
        for name, (dtype, shape) in wanted.items():
            tensor = getattr(self, name)
            if tensor.dtype != dtype or tensor.shape != shape or tensor.device != self.bias.device:
                raise ValueError(
                    f"{name} is {tensor.dtype} of shape {tuple(tensor.shape)} on {tensor.device}, "
                    f"the layer takes {dtype} of shape {shape} on {self.bias.device}"
                )
            if not tensor.is_contiguous():
                raise ValueError(f"{name} is not contiguous")


class Window(NamedTuple):
    """How a convolution moves over its input; height before width."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    groups: int

    def outputs(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the output.

        Raises:
            ValueError: the window does not fit, or is none.
        """
        if min(self.kernel + self.stride) < 1 or min(self.padding) < 0 or self.groups < 1:
            raise ValueError(f"no window of a convolution: {self}")
        height, width = (
            (size + 2 * padding - kernel) // stride + 1
            for size, kernel, stride, padding in zip(
                (height, width), self.kernel, self.stride, self.padding, strict=True
            )
        )
        if min(height, width) < 1:
            raise ValueError(f"images are smaller than the window {self}")
        return height, width


class Kernels:
    """The compiled runtime.

    Args:
        level: one of ``LEVELS``, by default the best that this processor has instructions for.

    Attributes:
        supported: the levels that this processor can run.

    Raises:
        ValueError: this processor does not have the level's instructions.
    """

    def __init__(self, compiled: CDLL, level: str | None = None) -> None:
        self.supported = list(LEVELS)[: compiled.ternary_level() + 1]
        self.level = level or self.supported[-1]
        if self.level not in self.supported:
            raise ValueError(f"level={level}: this processor runs {', '.join(self.supported)}")
        self._index = self.supported.index(self.level)
        self._linear: Any = compiled.ternary_linear
        self._linear.argtypes = [c_int, c_int, c_void_p, c_void_p, c_int64, c_void_p]
        self._conv2d: Any = compiled.ternary_conv2d
        self._conv2d.argtypes = [
            *(c_int, c_int, c_void_p, c_void_p, c_void_p, c_void_p, c_int64, c_int64, c_void_p)
        ]
        self._linear.restype = self._conv2d.restype = None

    def linear(self, x: Tensor, codes: Codes) -> Tensor:
        """Shapes: (..., depth) float32 to (..., filters).

        Raises:
            ValueError: the shapes do not fit together.
        """
        depth = x.shape[-1]
        weights = _weights(x, codes, depth, 1)
        x = x.contiguous()
        out = x.new_empty(*x.shape[:-1], codes.filters)
        if out.numel():
            self._linear(
                *(self._index, torch.get_num_threads(), byref(weights)),
                *(x.data_ptr(), x.numel() // depth, out.data_ptr()),
            )
        return out

    def conv2d(self, x: Tensor, codes: Codes, window: Window) -> Tensor:
        """Shapes: (images, channels, height, width) float32 to (images, filters, ...).

        The input may have any order in memory; the output is in that of channels_last, as is the
        order of a filter's depth: (kernel height, kernel width, channels of its group).

        Raises:
            ValueError: the shapes do not fit together.
        """
        images, channels, height, width = x.shape
        out_height, out_width = window.outputs(height, width)
        if channels % window.groups:
            raise ValueError(f"{channels} channels do not make {window.groups} groups")
        depth = prod(window.kernel) * channels // window.groups
        weights = _weights(x, codes, depth, window.groups)
        out = x.new_empty(images, out_height, out_width, codes.filters)
        framed = x.new_empty(
            images * channels,
            height + 2 * window.padding[0],
            width + 2 * window.padding[1],
        )
        if out.numel():
            self._conv2d(
                *(self._index, torch.get_num_threads(), byref(weights)),
                byref(_Images(*x.shape, x.stride(), window.kernel, window.stride, window.padding)),
                *(x.data_ptr(), framed.data_ptr(), out_height, out_width, out.data_ptr()),
            )
        return out.permute(0, 3, 1, 2)


def _weights(x: Tensor, codes: Codes, depth: int, groups: int) -> _Weights:
    if x.dtype != torch.float32 or {x.device.type, codes.bias.device.type} != {"cpu"}:
        raise ValueError(f"the runtime reads float32 on a CPU, not {x.dtype} on {x.device}")
    codes.check(depth, groups)
    terms = codes.levels.shape[0]
    pointers = (tensor.data_ptr() for tensor in codes)
    return _Weights(groups, codes.filters // groups, depth, terms, *pointers)


@cache
def kernels() -> Kernels | None:
    """The runtime at its best level; None where it cannot be built (:func:`library`)."""
    compiled = library()
    return Kernels(compiled) if compiled else None
