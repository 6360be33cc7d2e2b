"""Image files, and what is said of one that cannot be used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from ttq_repro.errors import DataError


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """An image file for as long as it is worked on.

    Raises:
        DataError: it cannot be read, or the work met what an image must not be (ValueError).
    """
    try:
        with Image.open(path) as image:
            yield image
    except UnidentifiedImageError:
        # Pillow's message is the path once more, or an object's address.
        raise _unusable(path, "of no known format") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _unusable(path, getattr(error, "strerror", None) or str(error)) from None


def rgb(image: Image.Image) -> Image.Image:
    """The image with 8 bits for each of red, green and blue.

    Raises:
        ValueError: its pixels are 32-bit numbers, of which nobody says how large white is.
    """
    if image.mode in ("I", "F"):
        raise ValueError("its pixels are 32-bit numbers")
    if image.mode.startswith("I;16"):
        # Pillow would clip; of 16-bit colours it takes the upper byte, too.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert("RGB")


def _unusable(path: Path, why: str) -> DataError:
    return DataError(f"{path}: not a readable image ({why})")
