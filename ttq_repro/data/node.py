"""What a node of ``configs/data`` says about a data set, and whether the data set is like that."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ttq_repro.checks import check_option, check_path, check_whole
from ttq_repro.errors import DataError

#: The folder of the data if a node names none, as in the config of a record.
DEFAULT_ROOT = Path("data")
#: Height and width of every data set in memory.
ARRAY_SIZE = (32, 32)


def is_of_photographs(node: dict[str, Any]) -> bool:
    """Whether the images are photographs of any size, cropped when they are read.

    All other data sets have small images of one size, which are kept in memory.
    """
    return "crop" in node


def image_size(node: dict[str, Any]) -> tuple[int, int]:
    """Height and width of the images that a network gets.

    Raises:
        UserError: ``crop`` is not a whole number.
    """
    if not is_of_photographs(node):
        return ARRAY_SIZE
    check_option("data.crop", node["crop"], check_whole, 1)
    return node["crop"], node["crop"]


def root_of(node: dict[str, Any]) -> Path:
    """The folder of the data, by default :data:`DEFAULT_ROOT`.

    Raises:
        UserError: ``root`` is not a path.
    """
    if node["root"] is None:
        return DEFAULT_ROOT
    check_option("data.root", node["root"], check_path)
    return Path(node["root"])


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
