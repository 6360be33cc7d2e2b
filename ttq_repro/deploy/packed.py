"""The contents of a packed network, independent of the file format."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor

from ttq_repro.deploy.bits import packed_size, width_of

#: The most pixels of an image; for more, a small file could demand gigabytes of memory.
MOST_PIXELS = 1024 * 1024
#: The smallest standard deviation accepted for a channel; all but uniform images are far above it.
TINY = 1e-6


@dataclass(frozen=True)
class Layer:
    """How the weights of one quantized layer are stored.

    Each weight is the index of its level. The levels are in ascending order of the quantizer's
    codes: ``lower`` levels with negative codes, the weight 0 if ``zero``, and ``upper`` levels with
    positive codes.

    Attributes:
        name: the layer's name in the network.
        method: the quantizer's class.
        shape: the shape of its weight, (out, ...).
        symmetric: whether the lower levels are the negated upper ones; then only these are stored.
        per_filter: whether each filter has its own levels.
    """

    name: str
    method: str
    shape: tuple[int, ...]
    lower: int
    zero: bool
    upper: int
    symmetric: bool
    per_filter: bool

    @property
    def weights(self) -> int:
        return prod(self.shape)

    @property
    def levels(self) -> int:
        return self.lower + self.zero + self.upper

    @property
    def width(self) -> int:
        """Bits of one index."""
        return width_of(self.levels)

    @property
    def packed_bytes(self) -> int:
        """Bytes of all indices."""
        return packed_size(self.weights, self.width)

    @property
    def stored_levels(self) -> tuple[int, int]:
        """Shape of the stored levels: (filters if ``per_filter`` else 1, levels)."""
        columns = self.upper if self.symmetric else self.lower + self.upper
        return (self.shape[0] if self.per_filter else 1), columns


@dataclass(frozen=True)
class Inputs:
    """The kind of images that the network was trained on, and the names of its classes.

    Attributes:
        size: height and width in pixels.
        crop_fraction: share of a picture's short side that the images show, around its center.
        mean, std: channel statistics of the training images in [0, 1]; the network reads
            (image - mean) / std.
        classes: names in the order of the logits.
    """

    size: tuple[int, int]
    crop_fraction: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    classes: tuple[str, ...]

    def normalized(self, images: Tensor) -> Tensor:
        """The network's input for uint8 images, (..., 3, height, width)."""
        statistics = torch.tensor([self.mean, self.std], dtype=torch.float32, device=images.device)
        mean, std = 255 * statistics[:, :, None, None]
        return (images - mean) / std

    def check(self, classes: int) -> None:
        """Check that these values are valid, and suit a network of ``classes`` classes.

        Raises:
            ValueError: they are invalid or do not suit it; the message says why.
        """
        height, width = self.size
        whole = all(type(side) is int and side > 0 for side in self.size)
        if not whole or height * width > MOST_PIXELS:
            raise ValueError(
                f"images must have 1 to {MOST_PIXELS:,} pixels, not {height} x {width}"
            )
        if not 0 < self.crop_fraction <= 1:
            raise ValueError(f"the crop fraction must lie in (0, 1], got {self.crop_fraction}")
        # The images are in [0, 1]. NaN fails, as all comparisons with it are false.
        means, deviations = (0 <= m <= 1 for m in self.mean), (TINY <= s <= 1 for s in self.std)
        if len(self.mean) != 3 or len(self.std) != 3 or not all((*means, *deviations)):
            raise ValueError(f"invalid channel statistics: mean {self.mean}, std {self.std}")
        if len(self.classes) != classes:
            raise ValueError(f"{len(self.classes)} class names for {classes} classes")
        # Names are printed, one per line.
        if odd := [n for n in self.classes if not (isinstance(n, str) and n.isprintable())]:
            raise ValueError(f"{odd[0]!a} is not a printable class name")


@dataclass(frozen=True, eq=False)
class PackedNetwork:
    """A network whose quantized layers are codes and levels.

    Attributes:
        architecture: the name of a class of ``ttq_repro.models``.
        arguments: those of its constructor.
        folded: whether batch norm is folded into the layers before it.
        layers: the quantized layers.
        codes: the packed indices of each quantized layer, (packed_bytes,) uint8.
        levels: the levels of each quantized layer without the zero, (stored_levels) float32.
        batch_norm, floats: everything else, flat float32, in the order of
            :func:`ttq_repro.deploy.architecture.slots`.
        provenance: the run that the network comes from.
    """

    architecture: str
    arguments: dict[str, Any]
    folded: bool
    inputs: Inputs
    layers: list[Layer]
    codes: list[Tensor] = field(repr=False)
    levels: list[Tensor] = field(repr=False)
    batch_norm: Tensor = field(repr=False)
    floats: Tensor = field(repr=False)
    provenance: dict[str, Any] = field(default_factory=dict)
