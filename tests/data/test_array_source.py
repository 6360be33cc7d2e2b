import numpy as np
import pytest
import torch

from ttq_repro.data.array_source import ArraySource, AugmentedBatches, PlainBatches
from ttq_repro.data.digits import load_digits
from ttq_repro.data.shard import Shard

COUNT = 50


@pytest.fixture
def images() -> torch.Tensor:
    # Every image has a single color, its index + 1, so that it can be recognized.
    return torch.arange(COUNT, dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(COUNT, 8, 8, 3) + 1


def batches(images: torch.Tensor, **options: object) -> AugmentedBatches:
    defaults = {"batch_size": 16, "seed": 1, "pad": 2, "flip": True}
    return AugmentedBatches(images, torch.arange(COUNT), **(defaults | options))


def test_an_epoch_holds_every_image_once(images: torch.Tensor) -> None:
    data = batches(images)
    labels = torch.cat([data[0, batch][1] for batch in range(len(data))])
    assert sorted(labels.tolist()) == list(range(COUNT))


def test_a_lone_last_image_joins_the_batch_before(images: torch.Tensor) -> None:
    data = batches(images, batch_size=7)
    found = [data[0, batch] for batch in range(len(data))]
    assert [len(pixels) for pixels, _ in found] == [7] * 6 + [8]
    assert sorted(torch.cat([labels for _, labels in found]).tolist()) == list(range(COUNT))


def test_images_keep_their_labels(images: torch.Tensor) -> None:
    pixels, labels = batches(images)[3, 1]
    assert pixels.shape == (16, 3, 8, 8)
    torch.testing.assert_close(pixels.amax((1, 2, 3)).long(), labels + 1)


def test_a_batch_depends_on_seed_epoch_and_batch_alone(images: torch.Tensor) -> None:
    in_order, alone = batches(images), batches(images)
    for epoch in (0, 1):
        for batch in range(4):
            last = in_order[epoch, batch]
    torch.rand(3)
    np.random.rand(3)
    again = alone[1, 3]
    assert torch.equal(last[0], again[0])
    assert torch.equal(last[1], again[1])
    assert not torch.equal(batches(images, seed=2)[1, 3][1], again[1])


def test_crops_are_windows_of_the_padded_image() -> None:
    picture = torch.randint(1, 255, (1, 6, 6, 3), dtype=torch.uint8)
    data = AugmentedBatches(picture, torch.zeros(1), batch_size=1, seed=0, pad=1, flip=True)
    padded = torch.nn.functional.pad(picture[0], (0, 0, 1, 1, 1, 1))
    windows = [padded[y : y + 6, x : x + 6] for y in range(3) for x in range(3)]
    wanted = {w.numpy().tobytes() for window in windows for w in (window, window.flip(1))}
    seen = set()
    for epoch in range(200):
        crop = data[epoch, 0][0][0].permute(1, 2, 0).contiguous().numpy().tobytes()
        assert crop in wanted
        seen.add(crop)
    assert len(seen) == 18


def test_no_augmentation_leaves_images_alone(images: torch.Tensor) -> None:
    pixels, labels = batches(images, pad=0, flip=False)[0, 0]
    assert torch.equal(pixels.permute(0, 2, 3, 1), images[labels])


def test_lightning_drives_the_epoch_through_the_sampler() -> None:
    arrays = load_digits()
    loader = ArraySource(arrays, pad=0, flip=False).train_loader(500, seed=1)
    first = [labels for _, labels in loader]
    loader.sampler.set_epoch(1)
    second = [labels for _, labels in loader]
    assert [len(labels) for labels in first] == [500, 500, 437]
    assert not torch.equal(first[0], second[0])


def test_test_batches_come_in_order() -> None:
    arrays = load_digits()
    loader = ArraySource(arrays, pad=0, flip=False).test_loader()
    labels = torch.cat([labels for _, labels in loader])
    assert labels.tolist() == arrays.test_labels.tolist()


@pytest.mark.parametrize("world", [2, 3, 8])
def test_processes_share_the_batches_of_one(images: torch.Tensor, world: int) -> None:
    whole = batches(images)
    shared = [batches(images, shard=Shard(rank, world)) for rank in range(world)]
    for batch in range(len(whole)):
        pixels, labels = whole[2, batch]
        counted = torch.zeros(len(labels))
        for data in shared:
            own, same_labels = data[2, batch]
            assert torch.equal(same_labels, labels)
            place = data.shard.of(len(labels))
            assert torch.equal(own, pixels[place])
            counted[place] += data.shard.weight(len(labels)) / world * len(labels) / len(own)
        torch.testing.assert_close(counted, torch.ones(len(labels)))


def test_processes_share_the_test_images(images: torch.Tensor) -> None:
    shared = [PlainBatches(images, torch.arange(COUNT), 16, Shard(rank, 3)) for rank in range(3)]
    taken = [(data.shard, *data[batch]) for data in shared for batch in range(len(data))]
    seen = [own[:, 0, 0, 0] for shard, own, labels in taken if shard.weight(len(labels))]
    assert sorted(torch.cat(seen).tolist()) == list(range(1, COUNT + 1))
