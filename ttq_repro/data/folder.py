"""Listing image-folder trees, and decoding those of equally sized images."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ttq_repro.errors import DataError
from ttq_repro.pictures import opened, rgb
from ttq_repro.workers import cores

SUFFIXES = {".png", ".webp", ".jpg", ".jpeg"}
KNOWN = ", ".join(sorted(SUFFIXES))


def list_split(split: Path, classes: tuple[str, ...]) -> list[tuple[Path, int]]:
    """Every image below ``split/<class>/`` with its label, in a fixed order.

    Raises:
        DataError: a class folder is missing, empty or unknown, or contains something else, or an
            image lies outside of the class folders.
    """
    found = class_folders(split)
    for name in classes:
        if name not in found:
            raise DataError(f"{split / name}: class folder missing")
    if strangers := [name for name in found if name not in classes]:
        raise DataError(f"{split / strangers[0]}: not one of the {len(classes):,} classes")
    if strays := [entry for entry in visible(split) if is_image(entry)]:
        raise DataError(f"{strays[0]}: lies beside the class folders instead of in one")
    listing = []
    for label, name in enumerate(classes):
        files = images_in(split / name)
        if not files:
            raise DataError(f"{split / name}: contains no image ({KNOWN})")
        listing += [(path, label) for path in files]
    return listing


def class_folders(split: Path) -> list[str]:
    """The names of the folders in ``split``, sorted."""
    return [entry.name for entry in visible(split) if entry.is_dir()]


def images_in(folder: Path) -> list[Path]:
    """The image files directly in ``folder``, sorted.

    Raises:
        DataError: the folder contains anything else, such as photographs in an unknown format.
    """
    entries = visible(folder)
    for entry in entries:
        if not is_image(entry):
            raise DataError(f"{entry}: not an image ({KNOWN})")
    return entries


def is_image(path: Path) -> bool:
    """Whether the suffix is that of an image file."""
    return path.suffix.lower() in SUFFIXES


def visible(folder: Path) -> list[Path]:
    """The entries of ``folder``, sorted, without hidden ones such as .DS_Store."""
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def decode(listing: list[tuple[Path, int]], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The images as one array, shape (count, height, width, 3).

    Raises:
        DataError: an image is unreadable or not of ``size`` (height, width); the first is named.
    """
    images = np.empty((len(listing), *size, 3), np.uint8)

    def read(index: int) -> None:
        path = listing[index][0]
        with opened(path) as image:
            pixels = np.asarray(rgb(image))
        if pixels.shape[:2] != size:
            height, width = pixels.shape[:2]
            raise DataError(f"{path}: is {width}x{height}, expected {size[1]}x{size[0]}")
        images[index] = pixels

    with ThreadPoolExecutor(cores()) as pool:
        for _ in pool.map(read, range(len(listing))):
            pass
    return images
