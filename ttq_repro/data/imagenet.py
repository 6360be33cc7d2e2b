"""ImageNet-style folders: ``train/<class>/`` and ``val/<class>/``, or ILSVRC12's flat ``val/``."""

from __future__ import annotations

import csv
import zlib
from pathlib import Path

from ttq_repro.data.folder import class_folders, images_in, is_image, list_split, visible
from ttq_repro.data.node import check_classes
from ttq_repro.errors import DataError

SPLITS = ("train", "val")
DEVKIT = Path("ILSVRC2012_devkit_t12") / "data"
DEVKIT_TRUTH = DEVKIT / "ILSVRC2012_validation_ground_truth.txt"
DEVKIT_META = DEVKIT / "meta.mat"
KAGGLE_TRUTH = Path("LOC_val_solution.csv")

#: The files of each class, by the class's name, in the order of its label.
Listing = dict[str, list[Path]]


def find_root(root: Path, name: str) -> Path:
    """The folder that holds ``train/`` and ``val/``: ``root`` itself or ``root/name``.

    Raises:
        DataError: there is no such folder; the message says what was found instead.
    """
    for base in (root, root / name):
        if (base / "train").is_dir():
            if not (base / "val").is_dir():
                raise DataError(f"{base / 'val'}: missing beside {base / 'train'}")
            return base
    if not root.is_dir():
        what = "a file, not a folder" if root.exists() else "no such folder"
        raise DataError(f"{root}: {what}; give the folder of {name} with DATA_DIR=...")
    folders = class_folders(root)
    if folders and all(any(map(is_image, visible(root / folder))) for folder in folders):
        raise DataError(
            f"{root}: holds class folders; give the folder above it, with train/ and val/"
        )
    raise DataError(f"{root}: has no train/ and val/ folders, nor {name}/ with them")


def list_images(root: Path, num_classes: int) -> dict[str, Listing]:
    """Every image of each split, class by class.

    Args:
        root: as returned by :func:`find_root`.
        num_classes: the required number of class folders.

    Raises:
        DataError: the number of classes is different, a class has no images, or a validation image
            has no label.
    """
    classes = tuple(class_folders(root / "train"))
    check_classes(root / "train", len(classes), num_classes)
    val = root / "val"
    return {
        "train": _by_class(list_split(root / "train", classes), classes),
        "val": _by_class(list_split(val, classes), classes)
        if class_folders(val)
        else _label(val, classes),
    }


def truth_files(root: Path) -> list[Path]:
    """The files that label a flat ``val/``; empty if it has class folders or there are no labels.

    Args:
        root: as returned by :func:`find_root`.

    Raises:
        DataError: the development kit has labels, but its class names are missing.
    """
    if class_folders(root / "val"):
        return []
    if (root / DEVKIT_TRUTH).is_file():
        if not (root / DEVKIT_META).is_file():
            raise DataError(f"{root / DEVKIT_META}: missing beside {DEVKIT_TRUTH.name}")
        return [root / DEVKIT_TRUTH, root / DEVKIT_META]
    return [root / KAGGLE_TRUTH] if (root / KAGGLE_TRUTH).is_file() else []


def _by_class(listing: list[tuple[Path, int]], classes: tuple[str, ...]) -> Listing:
    grouped: Listing = {name: [] for name in classes}
    for path, label in listing:
        grouped[classes[label]].append(path)
    return grouped


def _label(val: Path, classes: tuple[str, ...]) -> Listing:
    """The images of a flat folder by class, according to ILSVRC12's ground truth."""
    files = images_in(val)
    if not files:
        raise DataError(f"{val}: contains neither class folders nor images")
    truth = _ground_truth(val.parent)
    grouped: Listing = {name: [] for name in classes}
    for path in files:
        label = truth.get(path.stem)
        if label not in grouped:
            said = "omits it" if label is None else f"says {label}, which is not a class"
            raise DataError(f"{path}: has no label; the ground truth {said}")
        grouped[label].append(path)
    if empty := [name for name, images in grouped.items() if not images]:
        raise DataError(f"{val}: no image of class {empty[0]}")
    return grouped


def _ground_truth(root: Path) -> dict[str, str]:
    """The class of every validation image, by the image's name."""
    match truth_files(root):
        case [truth, meta]:
            return _devkit_truth(truth, meta)
        case [truth]:
            return _kaggle_truth(truth)
    raise DataError(
        f"{root / 'val'}: images without class folders need their labels: "
        f"{root / DEVKIT_TRUTH} (of the development kit) or {root / KAGGLE_TRUTH}"
    )


def _kaggle_truth(path: Path) -> dict[str, str]:
    """Each row is an image's name and a list of boxes, each of which begins with the class."""
    truth = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = csv.DictReader(stream)
            for row in rows:
                image, boxes = row.get("ImageId"), (row.get("PredictionString") or "").split()
                if not image or not boxes:
                    raise ValueError(
                        f"line {rows.line_num} has no ImageId, or no class in PredictionString"
                    )
                truth[image] = boxes[0]
    except (ValueError, csv.Error) as error:
        raise DataError(f"{path}: not the labels of validation images ({error})") from None
    return truth


def _devkit_truth(truth: Path, meta: Path) -> dict[str, str]:
    """Line k of the development kit's list, from 1, is the ILSVRC2012_ID of image k's class."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        synsets = loadmat(meta, squeeze_me=True)["synsets"]
        names = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in synsets}
        lines = truth.read_text().split()
        return {
            f"ILSVRC2012_val_{number:08d}": names[int(line)] for number, line in enumerate(lines, 1)
        }
    except (
        # The last two: of damaged compressed files, and of files of MATLAB 7.3.
        *(OSError, ValueError, KeyError, IndexError, MatReadError),
        *(zlib.error, NotImplementedError),
    ) as error:
        raise DataError(f"{truth.parent}: not a readable development kit ({error})") from None
