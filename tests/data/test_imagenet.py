"""Layouts of ImageNet-style folders, and what is said where one is wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from ttq_repro.data.imagenet import find_root, list_images
from ttq_repro.errors import DataError

#: ILSVRC2012_ID of each class: not the order of their names.
IDS = {"n01": 3, "n02": 1, "n03": 2}


def labels(root: Path) -> list[tuple[str, str]]:
    """Name and class of every validation image."""
    by_class = list_images(root, 3)["val"]
    return sorted((path.stem, name) for name, paths in by_class.items() for path in paths)


@pytest.fixture
def flat(photographs: Path) -> dict[str, str]:
    """Makes the validation folder flat, in mixed order; returns the class of each image."""
    truth = {}
    files = sorted((photographs / "val").rglob("*.JPEG"), key=lambda path: path.stem[::-1])
    for number, path in enumerate(files, 1):
        name = f"ILSVRC2012_val_{number:08d}"
        truth[name] = path.parent.name
        path.rename(photographs / "val" / f"{name}.JPEG")
    for folder in (photographs / "val").glob("n0*"):
        folder.rmdir()
    return truth


def write_devkit(root: Path, lines: list[int]) -> None:
    folder = root / "ILSVRC2012_devkit_t12" / "data"
    folder.mkdir(parents=True)
    text = "".join(f"{line}\n" for line in lines)
    (folder / "ILSVRC2012_validation_ground_truth.txt").write_text(text)
    synsets = np.array(
        [(number, name) for name, number in IDS.items()],
        dtype=[("ILSVRC2012_ID", object), ("WNID", object)],
    )
    savemat(folder / "meta.mat", {"synsets": synsets})


def test_lists_both_splits_class_by_class(photographs: Path) -> None:
    listing = list_images(photographs, 3)
    assert list(listing["train"]) == list(listing["val"]) == ["n01", "n02", "n03"]
    assert [path.name for path in listing["val"]["n02"]] == ["n02_0.JPEG", "n02_1.JPEG"]
    assert sum(map(len, listing["train"].values())) == 18


def test_a_flat_val_takes_its_labels_from_the_development_kit(
    photographs: Path, flat: dict[str, str]
) -> None:
    write_devkit(photographs, [IDS[name] for name in flat.values()])
    assert labels(photographs) == sorted(flat.items())


def test_a_flat_val_takes_its_labels_from_kaggles_file(
    photographs: Path, flat: dict[str, str]
) -> None:
    rows = [f"{image},{name} 1 2 3 4 {name} 5 6 7 8 \n" for image, name in flat.items()]
    (photographs / "LOC_val_solution.csv").write_text("ImageId,PredictionString\n" + "".join(rows))
    assert labels(photographs) == sorted(flat.items())


@pytest.mark.usefixtures("flat")
def test_a_flat_val_without_labels_names_the_file_it_needs(photographs: Path) -> None:
    with pytest.raises(DataError, match=r"val: images without.*ILSVRC2012_validation_ground_truth"):
        list_images(photographs, 3)


def test_an_image_beyond_the_ground_truth_is_named(photographs: Path, flat: dict[str, str]) -> None:
    write_devkit(photographs, [IDS[name] for name in flat.values()][:-1])
    with pytest.raises(DataError, match=r"val_00000006\.JPEG: has no label"):
        list_images(photographs, 3)


def test_a_label_that_is_no_class_is_named(photographs: Path, flat: dict[str, str]) -> None:
    shutil.rmtree(photographs / "train" / "n03")
    write_devkit(photographs, [IDS[name] for name in flat.values()])
    with pytest.raises(DataError, match=r"JPEG: has no label.*says n03, which is no class"):
        list_images(photographs, 2)


def test_a_damaged_development_kit_is_named(photographs: Path, flat: dict[str, str]) -> None:
    write_devkit(photographs, [IDS[name] for name in flat.values()])
    (photographs / "ILSVRC2012_devkit_t12" / "data" / "meta.mat").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"ILSVRC2012_devkit_t12/data: not a readable"):
        list_images(photographs, 3)


def test_the_number_of_classes_has_to_match(photographs: Path) -> None:
    with pytest.raises(DataError, match=r"train: 3 classes, but data\.num_classes=1000"):
        list_images(photographs, 1000)


def test_a_class_without_validation_images_is_named(photographs: Path) -> None:
    shutil.rmtree(photographs / "val" / "n02")
    with pytest.raises(DataError, match=r"val/n02: class folder missing"):
        list_images(photographs, 3)


def test_accepts_the_folder_above(photographs: Path) -> None:
    assert find_root(photographs.parent, photographs.name) == photographs


@pytest.mark.parametrize(
    ("below", "says"),
    [
        ("train", r"train: holds class folders itself; give the folder above"),
        ("..", r"has no train/ and val/ folders, nor imagenette/ with them"),
        ("nowhere", r"nowhere: no such folder; give that of imagenette with DATA_DIR"),
    ],
)
def test_the_wrong_level_is_named(photographs: Path, below: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        find_root(photographs / below, "imagenette")


def test_a_missing_val_is_named(photographs: Path) -> None:
    shutil.rmtree(photographs / "val")
    with pytest.raises(DataError, match=r"val: missing beside"):
        find_root(photographs, "imagenette")


def test_a_level_too_many_inside_is_named(photographs: Path) -> None:
    (photographs / "train" / "n01").rename(photographs / "n01")
    (photographs / "n01").rename(photographs / "train" / "n02" / "n01")
    (photographs / "train" / "n01").mkdir()
    (photographs / "train" / "n02" / "n01").rename(photographs / "train" / "n01" / "n01")
    with pytest.raises(DataError, match=r"train/n01: no image"):
        list_images(photographs, 3)
