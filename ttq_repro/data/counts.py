"""Checks that a data set is as complete as its config says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ttq_repro.errors import DataError


def check_classes(where: Path | str, found: int, num_classes: int) -> None:
    """Raise DataError if there are not as many classes as the config says."""
    if found != num_classes:
        raise DataError(f"{where}: {found} classes, but data.num_classes={num_classes}")


def check_images(name: str, found: Mapping[str, int], images: Mapping[str, int] | None) -> None:
    """Refuse an incomplete data set, such as a copy that was cut short, or a different one.

    Args:
        found: number of images in ``train`` and ``val``.
        images: the required numbers; None if any will do.

    Raises:
        DataError: there are more or fewer images.
    """
    if images is None or all(found[split] == images[split] for split in ("train", "val")):
        return
    raise DataError(
        f"{name}: {found['train']:,} training and {found['val']:,} test images, but results need "
        f"{images['train']:,} and {images['val']:,} (data.images); give another data set a name of "
        "its own (data.name)"
    )
