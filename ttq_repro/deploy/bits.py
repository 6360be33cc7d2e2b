"""Packing small integers into bytes, with one, two, four or eight bits each."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

WIDTHS = (1, 2, 4, 8)


def width_of(levels: int) -> int:
    """Bits of an index into ``levels`` levels, a power of two.

    Raises:
        ValueError: there are more than 256 levels.
    """
    for width in WIDTHS:
        if levels <= 2**width:
            return width
    raise ValueError(f"{levels} levels do not fit into {WIDTHS[-1]} bits")


def packed_size(count: int, width: int) -> int:
    """Bytes that ``count`` integers take."""
    return -(-count * width // 8)


def pack_bits(integers: Tensor, width: int) -> Tensor:
    """Pack integers below ``2**width``, the first one in the lowest bits of the first byte.

    Shapes: (count,) uint8 to (packed_size(count, width),) uint8; the rest of the last byte is 0.
    """
    padded = F.pad(integers, (0, -len(integers) % (8 // width)))
    return (padded.view(-1, 8 // width) << _shifts(integers, width)).sum(1, dtype=torch.uint8)


def unpack_bits(packed: Tensor, width: int) -> Tensor:
    """The inverse of :func:`pack_bits`, with the zeros that fill the last byte.

    Shapes: (bytes,) uint8 to (bytes * 8 / width,) uint8.
    """
    if width == 8:
        return packed
    return ((packed[:, None] >> _shifts(packed, width)) & (2**width - 1)).flatten()


def _shifts(like: Tensor, width: int) -> Tensor:
    return torch.arange(0, 8, width, dtype=torch.uint8, device=like.device)
