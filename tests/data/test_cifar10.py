"""CIFAR-10 from folders and from torchvision's archive: small stand-ins and the real images."""

from __future__ import annotations

import errno
import hashlib
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ttq_repro.data.array_source import ArraySource
from ttq_repro.data.cifar10 import CLASSES, load_cifar10
from ttq_repro.data.load import load_data
from ttq_repro.errors import DataError, UserError
from ttq_repro.runs.config import compose_config
from ttq_repro.sealed import SEAL_BYTES


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two images per class and split, one a PNG and one a WebP."""
    root = tmp_path / "tree"
    noise = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in CLASSES:
            folder = root / split / name
            folder.mkdir(parents=True)
            for index, suffix in enumerate(("png", "webp")):
                pixels = noise.integers(0, 256, (32, 32, 3), np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.{suffix}", lossless=True)
    return root


def test_reads_a_tree(tree: Path, tmp_path: Path) -> None:
    arrays = load_cifar10(tree, tmp_path / "cache")
    assert arrays.train_images.shape == (20, 32, 32, 3)
    assert arrays.test_labels.tolist() == [label for label in range(10) for _ in range(2)]
    expected = np.asarray(Image.open(tree / "train" / "cat" / "1.webp"))
    assert np.array_equal(arrays.train_images[7], expected)


def test_a_part_of_it_is_no_cifar10(tree: Path, tmp_path: Path) -> None:
    node = compose_config("train", ["data=cifar10", f"data.root={tree}"])["data"]
    with pytest.raises(DataError, match="20 training and 20 test images, but results need 50,000"):
        load_data(node, tmp_path / "cache", workers=0, whole=True)


def test_hidden_files_are_no_images(tree: Path, tmp_path: Path) -> None:
    (tree / "train" / "cat" / "._1.webp").write_bytes(b"of a Mac")
    assert len(load_cifar10(tree, tmp_path / "cache").train_labels) == 20


def test_images_are_held_out_of_training(tree: Path, tmp_path: Path) -> None:
    node = {"name": "cifar10", "num_classes": 10, "root": str(tree), "pad": 4, "flip": True}
    whole = load_cifar10(tree, tmp_path / "cache")
    source = load_data(node | {"held_out": 0.25}, tmp_path / "cache", workers=0)
    assert isinstance(source, ArraySource)
    part = source.arrays
    assert (source.train_images, len(part.test_labels)) == (15, 5)
    together = [*part.train_images, *part.test_images]
    assert {image.tobytes() for image in together} == {one.tobytes() for one in whole.train_images}
    again = whole.held_out(0.25)
    assert np.array_equal(again.test_images, part.test_images)
    assert part.test_labels.tolist() != [0, 0, 1, 1, 2], "files come sorted by class"
    assert part.source.endswith("5 training images held out to test on")
    backwards = replace(
        whole, train_images=whole.train_images[::-1], train_labels=whole.train_labels[::-1]
    )
    held_out = {image.tobytes() for image in backwards.held_out(0.25).test_images}
    assert held_out == {image.tobytes() for image in part.test_images}, (
        "whatever their files' names"
    )


@pytest.mark.parametrize("share", [0, 1, -0.1, 1e-3, "much"])
def test_a_share_that_leaves_nothing_is_named(share: object, tree: Path, tmp_path: Path) -> None:
    node = {"name": "cifar10", "num_classes": 10, "root": str(tree), "pad": 4, "flip": True}
    with pytest.raises(UserError, match=rf"^data\.held_out={share}: "):
        load_data(node | {"held_out": share}, tmp_path / "cache", workers=0)


def test_accepts_the_folder_above(tree: Path, tmp_path: Path) -> None:
    tree.rename(tmp_path / "cifar10")
    assert len(load_cifar10(tmp_path, tmp_path / "cache").train_images) == 20


def test_decodes_once(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    first = load_cifar10(tree, cache)
    monkeypatch.setattr("ttq_repro.data.cifar10.decode", None)
    assert np.array_equal(load_cifar10(tree, cache).train_images, first.train_images)


@pytest.mark.parametrize("damage", ["flip", "truncate", "unseal"])
def test_a_damaged_cache_is_made_again(tree: Path, tmp_path: Path, damage: str) -> None:
    cache = tmp_path / "cache"
    first = load_cifar10(tree, cache)
    (stored,) = cache.glob("*.npz")
    content = bytearray(stored.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    # Earlier versions of this code wrote caches without a seal.
    part = {"flip": slice(None), "truncate": slice(1000), "unseal": slice(SEAL_BYTES, None)}
    stored.write_bytes(content[part[damage]])
    assert np.array_equal(load_cifar10(tree, cache).train_images, first.train_images)


def test_a_changed_tree_is_decoded_again(tree: Path, tmp_path: Path) -> None:
    load_cifar10(tree, tmp_path / "cache")
    Image.new("RGB", (32, 32), "red").save(tree / "train" / "cat" / "2.png")
    assert len(load_cifar10(tree, tmp_path / "cache").train_images) == 21


def test_names_the_missing_class(tree: Path, tmp_path: Path) -> None:
    (tree / "test" / "frog").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"test/frog: class folder missing"):
        load_cifar10(tree, tmp_path / "cache")


def test_names_the_unreadable_image(tree: Path, tmp_path: Path) -> None:
    (tree / "train" / "ship" / "0.png").write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"train/ship/0\.png: not a readable image"):
        load_cifar10(tree, tmp_path / "cache")


def test_names_the_image_of_wrong_size(tree: Path, tmp_path: Path) -> None:
    Image.new("RGB", (31, 32)).save(tree / "train" / "ship" / "0.png")
    with pytest.raises(DataError, match=r"train/ship/0\.png: is 31x32, expected 32x32"):
        load_cifar10(tree, tmp_path / "cache")


@pytest.mark.parametrize("root", ["there", "data"])
def test_no_source_names_the_three_ways_out(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", unreachable)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    with pytest.raises(DataError, match=r"no network.*DATA_DIR.*download.*make quickstart"):
        load_cifar10(root, "cache")


def test_a_mistyped_folder_is_not_created(tmp_path: Path) -> None:
    root = tmp_path / "nowhere"
    with pytest.raises(DataError, match=f"^{root}: no such folder; give the folder of CIFAR-10"):
        load_cifar10(root, tmp_path / "cache")
    assert not root.exists()


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Writes torchvision's archive into ``tmp_path``; returns the content of both its batches."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    labels = np.arange(10).repeat(2)[::-1].tolist()
    pixels = np.random.default_rng(0).integers(0, 256, (20, 3072), np.uint8)
    batch = {"data": pixels, "labels": labels}
    meta = {"label_names": list(CLASSES)}
    files = {"data_batch_1": batch, "test_batch": batch, "batches.meta": meta}
    sums = {}
    for name, content in files.items():
        (folder / name).write_bytes(pickle.dumps(content))
        sums[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
    known = "torchvision.datasets.CIFAR10"
    monkeypatch.setattr(f"{known}.train_list", [["data_batch_1", sums["data_batch_1"]]])
    monkeypatch.setattr(f"{known}.test_list", [["test_batch", sums["test_batch"]]])
    meta_entry = {"filename": "batches.meta", "key": "label_names", "md5": sums["batches.meta"]}
    monkeypatch.setattr(f"{known}.meta", meta_entry)
    return batch


def test_reads_torchvisions_archive(archive: dict[str, Any], tmp_path: Path) -> None:
    arrays = load_cifar10(tmp_path, tmp_path / "cache")
    assert arrays.train_labels.tolist() == sorted(archive["labels"])
    first = archive["data"][18].reshape(3, 32, 32).transpose(1, 2, 0)
    assert np.array_equal(arrays.train_images[0], first)


@pytest.mark.usefixtures("archive")
def test_a_full_disk_is_no_missing_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("ttq_repro.sealed.write_atomically", full)
    with pytest.raises(OSError, match="No space left on device"):
        load_cifar10(tmp_path, tmp_path / "cache")


@pytest.mark.cifar10
def test_channel_means_of_the_real_images(cifar10_root: Path, tmp_path: Path) -> None:
    arrays = load_cifar10(cifar10_root, tmp_path / "cache")
    assert arrays.train_images.shape == (50_000, 32, 32, 3)
    assert np.bincount(arrays.test_labels).tolist() == [1000] * 10
    mean, std = arrays.channel_statistics()
    assert mean.round(4).tolist() == [0.4914, 0.4822, 0.4465]
    assert std.round(3).tolist() == [0.247, 0.243, 0.262]
