"""Opening image files, with a uniform error for those that cannot be used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from ttq_repro.errors import DataError


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """Open an image file for the body of a ``with`` statement.

    Raises:
        DataError: the file cannot be read, or the body rejected the image with a ValueError.
    """
    try:
        with Image.open(path) as image:
            yield image
    except UnidentifiedImageError:
        # Pillow's message says only the path or an object's address.
        raise _unusable(path, "of no known format") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _unusable(path, getattr(error, "strerror", None) or str(error)) from None


def rgb(image: Image.Image) -> Image.Image:
    """The image with 8 bits for each of red, green and blue.

    Raises:
        ValueError: its pixels are 32-bit numbers, for which the value of white is not defined.
    """
    if image.mode in ("I", "F"):
        raise ValueError("its pixels are 32-bit numbers")
    if image.mode.startswith("I;16"):
        # Pillow would clip; for 16-bit colors it also keeps the upper byte.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert("RGB")


def _unusable(path: Path, why: str) -> DataError:
    return DataError(f"{path}: not a readable image ({why})")
