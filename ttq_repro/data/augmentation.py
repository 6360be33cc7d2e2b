"""Which part of a photograph a network sees, in training and in evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

CROP_FRACTION = 224 / 256


class View(NamedTuple):
    """A rectangle of a photograph in pixels, to be resized to the input size, maybe mirrored."""

    top: int
    left: int
    height: int
    width: int
    mirrored: bool


class Augmentation(Protocol):
    """Draws the view of a training photograph."""

    def __call__(self, height: int, width: int, crop: int, random: np.random.Generator) -> View:
        """Draw it for a photograph of that size and an input of ``crop`` x ``crop`` pixels.

        Raises:
            ValueError: the resized image that it crops from is smaller than the crop.
        """


@dataclass(frozen=True)
class SquareCrop:
    """The paper's: resize to ``side`` x ``side``, crop at random, mirror half of the time.

    Cropping first and resizing afterwards gives the same pixels up to rounding, in one step.
    """

    side: int = 256
    flip: bool = True

    def __call__(self, height: int, width: int, crop: int, random: np.random.Generator) -> View:
        return _crop_of_resized(height, width, self.side, self.side, crop, self.flip, random)


@dataclass(frozen=True)
class ScaledCrop:
    """The released code's: random scale and aspect ratio, random crop, mirror half of the time.

    The short side becomes ``smallest`` pixels or more, but less than ``largest``. Then height and
    width are each stretched by a random share of up to ``stretch``, but not to less than the crop.
    Theirs also stretches neither beyond the photograph's own, which a stored one no longer tells.
    """

    smallest: int = 224
    largest: int = 308
    stretch: float = 0.15
    flip: bool = True

    def __call__(self, height: int, width: int, crop: int, random: np.random.Generator) -> View:
        scale = random.integers(self.smallest, self.largest) / min(height, width)
        stretch = scale * random.uniform(1 - self.stretch, 1 + self.stretch, 2)
        new_height = max(crop, round(stretch[0] * height))
        new_width = max(crop, round(stretch[1] * width))
        return _crop_of_resized(height, width, new_height, new_width, crop, self.flip, random)


def center_crop(height: int, width: int) -> View:
    """The view in evaluation: a central square with :data:`CROP_FRACTION` of the short side."""
    side = round(min(height, width) * CROP_FRACTION)
    return View((height - side) // 2, (width - side) // 2, side, side, False)


def _crop_of_resized(
    height: int,
    width: int,
    new_height: int,
    new_width: int,
    crop: int,
    flip: bool,
    random: np.random.Generator,
) -> View:
    """A random crop of the resized photograph, in whole pixels of the original."""
    if min(new_height, new_width) < crop:
        raise ValueError(f"{new_height} x {new_width} pixels are too small for the crop")
    top, left = (
        int(place) for place in random.integers(0, (new_height - crop + 1, new_width - crop + 1))
    )
    first_row, first_column = top * height // new_height, left * width // new_width
    return View(
        first_row,
        first_column,
        -((top + crop) * height // -new_height) - first_row,
        -((left + crop) * width // -new_width) - first_column,
        flip and bool(random.random() < 0.5),
    )
