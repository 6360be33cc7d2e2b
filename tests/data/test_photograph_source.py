"""Batches of stored photographs: generated ones, and those of Imagenette."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ttq_repro.data.load import load_data
from ttq_repro.data.shard import Shard
from ttq_repro.data.source import DataSource
from ttq_repro.data.store import StoredSplit
from ttq_repro.errors import DataError, UserError
from ttq_repro.runs.config import compose_config

pytestmark = pytest.mark.usefixtures("prepare_in_threads")


def load(root: Path, *overrides: str, workers: int = 0) -> DataSource:
    small = ["data=imagenette", "data.num_classes=3", "data.crop=28", "data.short_side=32"]
    node = compose_config("train", [*small, "data.augmentation.side=32", *overrides])["data"]
    return load_data(node | {"root": str(root)}, root.parent / "cache", workers)


def epoch_of(source: DataSource, epoch: int = 0, seed: int = 1) -> list[tuple[torch.Tensor, ...]]:
    loader = source.train_loader(5, seed)
    loader.sampler.set_epoch(epoch)
    return list(loader)


def same(a: list[tuple[torch.Tensor, ...]], b: list[tuple[torch.Tensor, ...]]) -> bool:
    return all(
        torch.equal(x, y)
        for one, two in zip(a, b, strict=True)
        for x, y in zip(one, two, strict=True)
    )


def brightness(images: torch.Tensor) -> torch.Tensor:
    return images.float().mean((1, 2, 3))


def test_an_epoch_holds_every_photograph_once_with_its_label(photographs: Path) -> None:
    batches = epoch_of(load(photographs))
    assert [len(labels) for _, labels in batches] == [5, 5, 5, 3]
    labels = torch.cat([labels for _, labels in batches])
    assert labels.bincount().tolist() == [6, 6, 6]
    images = torch.cat([images for images, _ in batches])
    assert (brightness(images) - (35 + 90 * labels)).abs().max() < 8


def test_a_lone_last_photograph_joins_the_batch_before(photographs: Path) -> None:
    (photographs / "train" / "n01" / "n01_0.JPEG").unlink()
    loader = load(photographs).train_loader(4, 1)
    assert len(loader) == 4
    assert [len(labels) for _, labels in loader] == [4, 4, 4, 5]


def test_batches_are_of_the_kind_the_network_takes(photographs: Path) -> None:
    source = load(photographs)
    for images, labels in [epoch_of(source)[0], next(iter(source.test_loader()))]:
        assert images.dtype == torch.uint8
        assert images.shape[1:] == (3, 28, 28)
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert labels.dtype == torch.int64


def test_a_batch_depends_on_seed_epoch_and_batch_alone(photographs: Path) -> None:
    source = load(photographs)
    dataset = source.train_loader(5, 1).dataset
    before = [dataset[epoch, batch] for epoch in (0, 1) for batch in range(4)]
    np.random.rand(3)
    torch.rand(3)
    fresh = load(photographs).train_loader(5, 1).dataset
    assert same([fresh[1, 2]], [before[6]])
    assert not same([before[2]], [before[6]])
    assert not same(epoch_of(source, seed=2), before[:4])


def test_order_and_views_come_from_streams_of_their_own(
    photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[int, ...]] = []
    make = np.random.default_rng

    def default_rng(seed: Any) -> np.random.Generator:
        drawn.append(tuple(make(seed).integers(0, 2**32, 4)))
        return make(seed)

    source = load(photographs)
    monkeypatch.setattr("numpy.random.default_rng", default_rng)
    for seed in (0, 1):
        for epoch in (0, 1):
            epoch_of(source, epoch, seed)
    default_rng(0)  # The stream of ImageArrays.held_out.
    assert len(set(drawn)) == len(drawn) == 2 * 2 * (1 + 4) + 1


def test_worker_processes_change_nothing(photographs: Path) -> None:
    expected = epoch_of(load(photographs), epoch=3)
    for workers in (1, 2):
        source = load(photographs, workers=workers)
        assert same(epoch_of(source, epoch=3), expected)
        labels = torch.cat([labels for _, labels in source.test_loader()])
        assert labels.tolist() == [0, 0, 1, 1, 2, 2]


AUTHORS = [
    "data.augmentation._target_=ttq_repro.data.augmentation.ScaledCrop",
    "~data.augmentation.side",
    "+data.augmentation.smallest=28",
    "+data.augmentation.largest=36",
]


@pytest.mark.parametrize("augmentation", [[], AUTHORS], ids=["paper", "authors"])
def test_processes_share_the_batches_of_one(augmentation: list[str], photographs: Path) -> None:
    """Even though the numbers drawn for a photograph depend on the sizes of those before it."""
    source = load(photographs, *augmentation)
    loaders = [source.train_loader(5, 1, Shard(rank, 2)) for rank in range(2)]
    for batch, (images, labels) in enumerate(epoch_of(source)):
        for loader in loaders:
            own, same_labels = loader.dataset[0, batch]
            assert torch.equal(own, images[loader.dataset.shard.of(len(labels))])
            assert torch.equal(same_labels, labels)
    images, _ = next(iter(source.test_loader()))
    own, _ = next(iter(source.test_loader(Shard(1, 2))))
    assert torch.equal(own, images[1::2])


def test_evaluation_reads_the_photographs_of_its_share_alone(
    photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = load(photographs)
    read: list[int] = []

    def reading(split: StoredSplit, index: int) -> bytes:
        read.append(index)
        return own(split, index)

    own = StoredSplit.__getitem__
    monkeypatch.setattr(StoredSplit, "__getitem__", reading)
    images, labels = next(iter(source.test_loader(Shard(1, 2))))
    assert read == list(range(1, len(labels), 2))
    assert len(images) == len(read) > 0


@pytest.mark.parametrize("workers", [0, 2])
def test_the_epoch_counts_that_is_set_after_the_iterator_is_made(
    photographs: Path, workers: int
) -> None:
    """Lightning sets it in this order when it resumes a run."""
    loader = load(photographs, workers=workers).train_loader(5, 1)
    batches = iter(loader)
    loader.sampler.set_epoch(3)
    assert same(list(batches), epoch_of(load(photographs), epoch=3))


def test_grey_photographs_have_three_equal_channels(photographs: Path) -> None:
    images, _ = next(iter(load(photographs).test_loader()))
    assert torch.equal(images[0, 0], images[0, 1])
    assert torch.equal(images[0, 0], images[0, 2])


RAMP = np.linspace(0, 255, 128)[:, None] * np.linspace(0.2, 1, 256)[None]


@pytest.fixture
def ramps(photographs: Path) -> DataSource:
    """The photographs, each replaced by RAMP, which tells every place and its mirror image."""
    for path in photographs.rglob("*.JPEG"):
        Image.fromarray(RAMP.astype(np.uint8)).convert("RGB").save(path, quality=100)
    return load(photographs, "data.short_side=128", "data.quality=100")


def resized(pixels: np.ndarray, side: int) -> torch.Tensor:
    one = torch.from_numpy(pixels)[None, None]
    return torch.nn.functional.interpolate(one, (side, side), mode="bilinear", antialias=True)[0, 0]


def test_a_training_image_is_a_crop_of_the_resized_photograph(ramps: DataSource) -> None:
    """Compared with the paper's order: resize the whole photograph first, then crop."""
    windows = resized(RAMP, 32).unfold(0, 28, 1).unfold(1, 28, 1).reshape(25, 28, 28)
    windows = torch.cat([windows, windows.flip(2)])
    chosen = set()
    for epoch in range(5):
        for images, _ in epoch_of(ramps, epoch):
            distance = (images[:, :1].float() - windows).abs().amax((2, 3))
            assert distance.amin(1).max() < 6
            chosen |= set(distance.argmin(1).tolist())
    assert len(chosen) > 20
    assert min(chosen) < 25 <= max(chosen), "some are mirrored"


def test_evaluation_sees_the_centre(ramps: DataSource) -> None:
    images, _ = next(iter(ramps.test_loader()))
    # Of 128 pixels, 224/256 are 112.
    centre = resized(RAMP[8:120, 72:184], 28)
    assert (images - centre).abs().max() < 2


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_photograph_is_one_line(photographs: Path, workers: int) -> None:
    source = load(photographs, workers=workers)
    (part,) = (photographs.parent / "cache").rglob("train/n02.safetensors")
    content = bytearray(part.read_bytes())
    content[content.index(b"\xff\xd8") + 200] ^= 1
    part.write_bytes(content)
    with pytest.raises(DataError) as caught:
        epoch_of(source)
    assert str(caught.value).startswith(f"{part}: damaged (photograph 0)")
    assert "\n" not in str(caught.value)


def test_the_released_augmentation_is_a_choice(photographs: Path, tmp_path: Path) -> None:
    node = compose_config("train", ["data=ilsvrc12_authors_code"])["data"]
    node |= {"root": str(photographs), "num_classes": 3}
    source = load_data(node, tmp_path / "cache", 0)
    images, labels = epoch_of(source)[0]
    assert images.shape == (5, 3, 224, 224)
    assert (brightness(images) - (35 + 90 * labels)).abs().max() < 8


def test_a_crop_larger_than_what_it_is_cut_from_is_named(photographs: Path) -> None:
    with pytest.raises(UserError, match=r"^data\.augmentation=None: stands for several options"):
        load(photographs, "data.augmentation=null")
    with pytest.raises(
        UserError, match=r"^data\.augmentation at data\.crop=40: 32 x 32 pixels are too small"
    ):
        load(photographs, "data.crop=40")


@pytest.mark.imagenette
def test_real_photographs(imagenette_root: Path, tmp_path: Path) -> None:
    node = compose_config("train", ["data=imagenette", f"data.root={imagenette_root}"])["data"]
    source = load_data(node, tmp_path, 0)
    assert source.train_images == 4500
    assert source.classes[0] == "n01440764"
    mean, std = source.channel_statistics()
    assert mean.round(2).tolist() == [0.46, 0.46, 0.43]
    assert std.round(2).tolist() == [0.28, 0.28, 0.3]
    images, labels = next(iter(source.test_loader()))
    assert images.shape == (200, 3, 224, 224)
    assert labels.tolist() == [0] * 110 + [1] * 90
    grey = (images[:, 0] == images[:, 1]).flatten(1).all(1) & (
        images[:, 0] == images[:, 2]
    ).flatten(1).all(1)
    assert 0 < grey.sum() < 20, "a few grey-scale ones"
