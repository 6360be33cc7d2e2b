"""The weights of a layer as 2-bit codes, and torch's own way to compute with them."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

FILTERS_PER_BLOCK = 16


class Codes(NamedTuple):
    """Weights ``sum over t of scales[t, filter] * levels[t, code]``, and a bias.

    One term holds {-W_n, 0, +W_p} of a layer, times a factor for each filter. If each filter has
    its own levels, every magnitude is a term.

    Attributes:
        words: (groups * blocks, depth) int32. A word holds the 2-bit codes of a block of 16 filters
            at one input, the first filter in the lowest bits; the last block of a group is padded.
            Inputs of a convolution are in the order (kernel height, kernel width, channels of its
            group).
        levels: (terms, 4) float32.
        scales: (terms, filters) float32, with the filters of all groups.
        bias: (filters) float32, likewise.
    """

    words: Tensor
    levels: Tensor
    scales: Tensor
    bias: Tensor

    def check(self, depth: int, groups: int = 1) -> None:
        """Check that these are weights for ``depth`` inputs in each group.

        Raises:
            ValueError: they are not, or do not fit together.
        """
        filters = len(self.bias)
        blocks = -(-(filters // groups) // FILTERS_PER_BLOCK)
        shapes = (groups * blocks, depth), (len(self.levels), 4), (len(self.levels), filters)
        found = self.words.shape, self.levels.shape, self.scales.shape
        if found != shapes or filters % groups:
            told = [tuple(tensor.shape) for tensor in self]
            raise ValueError(f"weights {told} do not fit {depth} inputs in {groups} groups")

    def unpacked(self, groups: int = 1) -> Tensor:
        """The weights as floats. Shape: (filters, depth).

        Unpacks one filter of each block at a time, which keeps temporary memory small.
        """
        depth = self.words.shape[1]
        words = self.words.view(groups, -1, depth)
        weights = self.scales.new_zeros(groups, len(self.bias) // groups, depth)
        scales = self.scales.view(len(self.scales), groups, -1, 1)
        for lane in range(FILTERS_PER_BLOCK):
            own = weights[:, lane::FILTERS_PER_BLOCK]
            codes = (words[:, : own.shape[1]] >> 2 * lane).bitwise_and_(3)
            for levels, scale in zip(self.levels, scales, strict=True):
                term = levels.index_select(0, codes.flatten()).view_as(own)
                own += term.mul_(scale[:, lane::FILTERS_PER_BLOCK])
        return weights.view(-1, depth)


class Window(NamedTuple):
    """How a convolution moves over its input; pairs are (height, width)."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    groups: int

    @classmethod
    def of(cls, *numbers: int) -> Window:
        """The inverse of :attr:`numbers`."""
        height, width, down, right, above, beside, groups = numbers
        return cls((height, width), (down, right), (above, beside), groups)

    @property
    def numbers(self) -> tuple[int, ...]:
        """What ``ternary::conv2d`` takes: with lists instead, a call takes a microsecond longer."""
        return (*self.kernel, *self.stride, *self.padding, self.groups)

    def check(self, shape: torch.Size) -> None:
        """Check that the window fits images of this shape.

        Raises:
            ValueError: it does not.
        """
        fits = len(shape) == 4 and self.groups > 0 and shape[1] % self.groups == 0
        fits = fits and min(*self.kernel, *self.stride) > 0 and min(self.padding) >= 0
        if not fits or min(self.places(*shape[2:])) < 1:
            raise ValueError(f"{self} does not fit shape {tuple(shape)}")

    def places(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the output."""
        sides = zip((height, width), self.kernel, self.stride, self.padding, strict=True)
        height, width = ((side + 2 * p - k) // s + 1 for side, k, s, p in sides)
        return height, width


class Fused(NamedTuple):
    """What a convolution does besides. By default, nothing.

    Attributes:
        norm: (2, channels), a factor and an offset: ``relu(factor * x + offset)`` takes the place
            of the input x.
        residual: added to the output, of whose shape it is.
        relu: whether ReLU comes last.
    """

    norm: Tensor | None = None
    residual: Tensor | None = None
    relu: bool = False

    def check(self, x: torch.Size, out: torch.Size) -> None:
        """Check that this fits an input and an output of these shapes.

        Raises:
            ValueError: it does not.
        """
        for name, tensor, shape in (
            ("norm", self.norm, (2, x[1])),
            ("residual", self.residual, tuple(out)),
        ):
            if tensor is not None and tensor.shape != shape:
                raise ValueError(f"{name} has shape {tuple(tensor.shape)}, not {shape}")

    def before(self, x: Tensor) -> Tensor:
        """The input of the convolution itself."""
        if self.norm is None:
            return x
        factor, offset = self.norm[..., None, None]
        return F.relu(torch.addcmul(offset, factor, x)).to(x.dtype)

    def after(self, out: Tensor) -> Tensor:
        """The output, from that of the convolution itself."""
        out = out if self.residual is None else out + self.residual
        return F.relu(out) if self.relu else out


def dense_linear(x: Tensor, codes: Codes) -> Tensor:
    """``F.linear`` with weights unpacked for this call. Shapes: (..., depth) to (..., filters)."""
    _check_floating(x)
    return F.linear(x, codes.unpacked().to(x.dtype), codes.bias.to(x.dtype))


def _check_floating(x: Tensor) -> None:
    """Refuse an input to whose type weights would be rounded, such as images in bytes."""
    if not x.is_floating_point():
        raise TypeError(f"ternary: the input is {x.dtype}, but must be floating point")


def dense_weight(codes: Codes, window: Window) -> Tensor:
    """The weight in torch's layout. Shape: (filters, channels of a group, height, width)."""
    return codes.unpacked(window.groups).unflatten(1, (*window.kernel, -1)).permute(0, 3, 1, 2)


def dense_conv2d(
    x: Tensor, codes: Codes, window: Window, fused: Fused, weight: Tensor | None = None
) -> Tensor:
    """``F.conv2d`` whose output has the memory format channels_last.

    Args:
        weight: the result of :func:`dense_weight`; if None, it is unpacked for this call.
    """
    _check_floating(x)
    weight = dense_weight(codes, window) if weight is None else weight
    weight, bias = weight.to(x.dtype), codes.bias.to(x.dtype)
    x = fused.before(x)
    out = F.conv2d(x, weight, bias, window.stride, window.padding, groups=window.groups)
    return fused.after(out).contiguous(memory_format=torch.channels_last)
