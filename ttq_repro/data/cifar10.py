"""CIFAR-10 from torchvision's archive or from an image-folder tree."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from ttq_repro.data.arrays import ImageArrays
from ttq_repro.data.cache import Arrays, cached_arrays
from ttq_repro.data.folder import decode, list_split
from ttq_repro.data.node import ARRAY_SIZE, DEFAULT_ROOT
from ttq_repro.errors import DataError, headline

CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
ARCHIVE_FOLDER = "cifar-10-batches-py"


def load_cifar10(root: str | Path, cache: str | Path) -> ImageArrays:
    """The 50,000 training and 10,000 test images.

    Args:
        root: a folder with ``{train,test}/<class>/*.{png,webp,jpg,jpeg}``, or one that holds
            torchvision's archive; either may also lie in ``root/cifar10``. If neither is there, the
            archive is downloaded into ``root``, which must exist unless it is the default.
        cache: where decoded arrays are kept.

    Raises:
        DataError: neither source is there and there is no such folder or the download fails, or a
            source is damaged.
    """
    root = Path(root)
    for base in (root, root / "cifar10"):
        if (base / "train").is_dir():
            return _from_folders(base, Path(cache))
    for base in (root, root / "cifar10"):
        if (base / ARCHIVE_FOLDER).is_dir():
            return _from_archive(base, Path(cache), download=False)
    return _from_archive(root, Path(cache), download=True)


def check_root(root: Path) -> None:
    """Refuse a folder that does not exist, unless it is the default one.

    torchvision would create a folder whose name was mistyped, and download into it.

    Raises:
        DataError: there is no such folder.
    """
    if not root.is_dir() and root != DEFAULT_ROOT:
        raise DataError(
            f"{root}: no such folder; give the folder of CIFAR-10 with DATA_DIR=... "
            "(data.root=...), or create this one to have the archive downloaded into it"
        )


def _from_folders(root: Path, cache: Path) -> ImageArrays:
    if not (root / "test").is_dir():
        raise DataError(f"{root / 'test'}: missing beside {root / 'train'}")
    listings = {split: list_split(root / split, CLASSES) for split in ("train", "test")}
    key = hashlib.sha256()
    for listing in listings.values():
        for path, _ in listing:
            status = path.stat()
            key.update(f"{path.relative_to(root)} {status.st_size} {status.st_mtime_ns}\n".encode())

    def make() -> Arrays:
        arrays: Arrays = {}
        for split, listing in listings.items():
            arrays[f"{split}_images"] = decode(listing, ARRAY_SIZE)
            arrays[f"{split}_labels"] = np.array([label for _, label in listing], np.int64)
        return arrays

    arrays = cached_arrays(cache / f"cifar10-folders-{key.hexdigest()[:12]}.npz", make)
    return ImageArrays(name="cifar10", classes=CLASSES, source="image folders", **arrays)


def _from_archive(root: Path, cache: Path, *, download: bool) -> ImageArrays:
    from torchvision.datasets import CIFAR10

    def make() -> Arrays:
        check_root(root)
        arrays: Arrays = {}
        for split in ("train", "test"):
            try:
                archive = CIFAR10(str(root), train=split == "train", download=download)
            except (OSError, RuntimeError) as error:
                raise _no_cifar10(root, error, download=download) from None
            # Class by class, in the order of the folder tree.
            order = np.argsort(archive.targets, kind="stable")
            arrays[f"{split}_images"] = archive.data[order]
            arrays[f"{split}_labels"] = np.asarray(archive.targets, np.int64)[order]
        return arrays

    location = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:12]
    arrays = cached_arrays(cache / f"cifar10-archive-{location}.npz", make)
    return ImageArrays(name="cifar10", classes=CLASSES, source="torchvision archive", **arrays)


def _no_cifar10(root: Path, error: Exception, *, download: bool) -> DataError:
    why = headline(error)
    return DataError(
        f"no CIFAR-10: {root} holds neither train/<class>/ folders nor {ARCHIVE_FOLDER}"
        + (f", and the download failed ({why})" if download else f" that can be read ({why})")
        + ". Give an image-folder tree or the archive's folder with DATA_DIR=... "
        "(data.root=...), or run where the download works, or try `make quickstart`, "
        "which needs no data."
    )
