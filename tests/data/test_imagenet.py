"""Layouts of ImageNet-style folders, and the errors about wrong ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from scipy.io import loadmat, savemat

from tests.data.flat import IDS, flatten, write_devkit, write_kaggle
from ttq_repro.data.imagenet import find_root, list_images
from ttq_repro.errors import DataError


def labels(root: Path) -> list[tuple[str, str]]:
    """Name and class of every validation image."""
    by_class = list_images(root, 3)["val"]
    return sorted((path.stem, name) for name, paths in by_class.items() for path in paths)


@pytest.fixture
def flat(photographs: Path) -> dict[str, str]:
    """Flattens the validation folder; returns the class of each image."""
    return flatten(photographs)


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
    write_kaggle(photographs, flat)
    assert labels(photographs) == sorted(flat.items())


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("ImageId,PredictionString\nILSVRC2012_val_00000001,\n", "line 2 has no ImageId, or no"),
        ("ImageId,PredictionString\na,n01 1 2 3 4\nb\n", "line 3 has no ImageId, or no class"),
        ("image,label\nILSVRC2012_val_00000001,n01\n", "line 2 has no ImageId, or no class"),
        ("ImageId,PredictionString\n\xff,n01\n", "'utf-8' codec can't decode"),
    ],
)
@pytest.mark.usefixtures("flat")
def test_a_malformed_file_of_kaggles_is_named(photographs: Path, content: str, says: str) -> None:
    (photographs / "LOC_val_solution.csv").write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match=rf"LOC_val_solution\.csv: not the labels .*{says}"):
        list_images(photographs, 3)


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
    with pytest.raises(DataError, match=r"JPEG: has no label.*says n03, which is not a class"):
        list_images(photographs, 2)


def test_a_damaged_development_kit_is_named(photographs: Path, flat: dict[str, str]) -> None:
    write_devkit(photographs, [IDS[name] for name in flat.values()])
    (photographs / "ILSVRC2012_devkit_t12" / "data" / "meta.mat").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"ILSVRC2012_devkit_t12/data: not a readable"):
        list_images(photographs, 3)


def test_a_flipped_bit_in_a_compressed_development_kit_is_named(
    photographs: Path, flat: dict[str, str]
) -> None:
    write_devkit(photographs, [IDS[name] for name in flat.values()])
    meta = photographs / "ILSVRC2012_devkit_t12" / "data" / "meta.mat"
    savemat(meta, {"synsets": loadmat(meta)["synsets"]}, do_compression=True)
    content = bytearray(meta.read_bytes())
    content[-20] ^= 1
    meta.write_bytes(content)
    with pytest.raises(DataError, match=r"ILSVRC2012_devkit_t12/data: not a readable"):
        list_images(photographs, 3)


@pytest.mark.usefixtures("flat")
def test_a_missing_table_of_classes_is_named(photographs: Path) -> None:
    write_devkit(photographs, [1])
    (photographs / "ILSVRC2012_devkit_t12" / "data" / "meta.mat").unlink()
    with pytest.raises(DataError, match=r"data/meta\.mat: missing beside ILSVRC2012_validation"):
        list_images(photographs, 3)


@pytest.mark.parametrize(
    ("place", "named"),
    [
        ("train/n02/photo.bmp", "train/n02/photo.bmp"),
        ("train/n02/Thumbs.db", "train/n02/Thumbs.db"),
        ("train/n02/folder/photo.jpg", "train/n02/folder"),
        ("val/photo.gif", "val/photo.gif"),
    ],
)
@pytest.mark.usefixtures("flat")
def test_what_might_be_photographs_is_not_passed_over(
    photographs: Path, place: str, named: str
) -> None:
    (photographs / place).parent.mkdir(exist_ok=True)
    (photographs / place).touch()
    with pytest.raises(DataError, match=rf"{photographs / named}: not an image \(\.jpeg, \.jpg"):
        list_images(photographs, 3)


def test_a_photograph_beside_the_class_folders_is_named(photographs: Path) -> None:
    (photographs / "val" / "n01" / "n01_0.JPEG").rename(photographs / "val" / "n01_0.JPEG")
    with pytest.raises(DataError, match=r"val/n01_0\.JPEG: lies beside the class folders"):
        list_images(photographs, 3)


def test_what_is_hidden_is_passed_over(photographs: Path) -> None:
    expected = list_images(photographs, 3)
    for split in ("train", "val"):
        (photographs / split / ".ipynb_checkpoints").mkdir()
        (photographs / split / "n01" / ".DS_Store").touch()
        (photographs / split / "n01" / ".ipynb_checkpoints").mkdir()
    assert list_images(photographs, 3) == expected


def test_an_unknown_class_is_named_without_all_the_others(photographs: Path) -> None:
    (photographs / "val" / "n04").mkdir()
    with pytest.raises(DataError) as caught:
        list_images(photographs, 3)
    assert str(caught.value) == f"{photographs}/val/n04: not one of the 3 classes"


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
        ("train", r"train: holds class folders; give the folder above"),
        ("..", r"has no train/ and val/ folders, nor imagenette/ with them"),
        ("nowhere", r"nowhere: no such folder; give the folder of imagenette with DATA_DIR"),
        ("val/n01/n01_0.JPEG", r"n01_0\.JPEG: a file, not a folder; give the folder of imagenette"),
    ],
)
def test_the_wrong_level_is_named(photographs: Path, below: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        find_root(photographs / below, "imagenette")


def test_one_folder_with_images_is_no_class_among_others(photographs: Path) -> None:
    (photographs.parent / "empty").mkdir()
    (photographs / "train" / "n01").rename(photographs.parent / "pictures")
    with pytest.raises(DataError, match="has no train/ and val/ folders"):
        find_root(photographs.parent, "imagenette")


def test_a_missing_val_is_named(photographs: Path) -> None:
    shutil.rmtree(photographs / "val")
    with pytest.raises(DataError, match=r"val: missing beside"):
        find_root(photographs, "imagenette")


def test_a_level_too_many_inside_is_named(photographs: Path) -> None:
    (photographs / "train" / "n01").rename(photographs / "n01")
    (photographs / "n01").rename(photographs / "train" / "n02" / "n01")
    (photographs / "train" / "n01").mkdir()
    (photographs / "train" / "n02" / "n01").rename(photographs / "train" / "n01" / "n01")
    with pytest.raises(DataError, match=r"train/n01/n01: not an image"):
        list_images(photographs, 3)
