"""Opening image files, with a uniform error for those that cannot be used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from ttq_repro.errors import DataError

#: What makes a picture upright, by its orientation in EXIF; all others are.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


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
    except (OSError, RuntimeError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
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


def upright(image: Image.Image) -> Image.Image:
    """The image as it was seen: cameras record their orientation in EXIF, not in the pixels' order.

    An image whose EXIF cannot be read stays as it is. Pillow's ``exif_transpose`` would fail, also
    on other tags, as it writes all of them anew.
    """
    image.load()  # Pillow turns TIFF itself, and reads what follows a PNG's pixels only here.
    try:
        turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # Of many classes: Pillow parses malformed EXIF without checks.
        return image
    return image if turn is None else image.transpose(turn)


def _unusable(path: Path, why: str) -> DataError:
    return DataError(f"{path}: not a readable image ({why})")
