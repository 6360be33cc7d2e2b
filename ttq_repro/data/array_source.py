"""Batches of a data set in memory, which depend only on (seed, epoch, batch)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ttq_repro.data.arrays import ImageArrays
from ttq_repro.data.shard import WHOLE, Shard, training_batches
from ttq_repro.data.source import CPU, Batch, EpochBatches
from ttq_repro.data.statistics import ChannelStatistics

TEST_BATCH = 1000


class AugmentedBatches(Dataset[Batch]):
    """Shuffled training batches, padded, cropped at random and flipped, a whole batch at once.

    All random numbers of an epoch are drawn at its start from a generator seeded by (seed, epoch),
    so that a batch is the same after a resume, and on any device.

    Args:
        images: (count, H, W, 3) uint8.
        labels: (count,) int64.
        batch_size: images per batch (:func:`training_batches`).
        seed: the run's seed.
        pad: black pixels added on each side before the crop.
        flip: whether each image is mirrored with probability 0.5.
        shard: the process whose images of each batch are returned.

    Shapes: ``self[epoch, batch]`` is (shard, 3, H, W) uint8, channels last, and (batch,) int64.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        batch_size: int,
        seed: int,
        pad: int,
        flip: bool,
        shard: Shard = WHOLE,
    ) -> None:
        self.padded = torch.nn.functional.pad(images, (0, 0, pad, pad, pad, pad))
        self.labels = labels
        self.height, self.width = images.shape[1:3]
        self.batches = training_batches(len(labels), batch_size)
        self.seed = seed
        self.pad = pad
        self.flip = flip
        self.shard = shard
        self._epoch: int | None = None

    def __len__(self) -> int:
        """Batches per epoch."""
        return len(self.batches)

    def __getitem__(self, key: tuple[int, int]) -> Batch:
        epoch, batch = key
        if epoch != self._epoch:
            self._draw(epoch)
        chosen = self.batches[batch]
        index = self._order[chosen]
        own = self.shard.of(len(index))
        rows, columns = self._rows[chosen][own], self._columns[chosen][own]
        images = self.padded[index[own, None, None], rows[:, :, None], columns[:, None, :]]
        return images.permute(0, 3, 1, 2), self.labels[index]

    def _draw(self, epoch: int) -> None:
        generator = np.random.default_rng((self.seed, epoch))
        count = len(self.labels)
        order = generator.permutation(count)
        top, left = generator.integers(0, 2 * self.pad + 1, (2, count))
        rows = top[:, None] + np.arange(self.height)
        columns = left[:, None] + np.arange(self.width)
        if self.flip:
            mirrored = generator.random(count) < 0.5
            columns[mirrored] = columns[mirrored, ::-1]
        device = self.padded.device
        self._order = torch.from_numpy(order).to(device)
        self._rows = torch.from_numpy(rows).to(device)
        self._columns = torch.from_numpy(columns).to(device)
        self._epoch = epoch


class PlainBatches(Dataset[Batch]):
    """Test batches in order, without augmentation; indexed by the batch's number."""

    def __init__(
        self, images: Tensor, labels: Tensor, batch_size: int, shard: Shard = WHOLE
    ) -> None:
        self.images = images
        self.labels = labels
        self.batch_size = batch_size
        self.shard = shard

    def __len__(self) -> int:
        return -(-len(self.labels) // self.batch_size)

    def __getitem__(self, batch: int) -> Batch:
        chosen = slice(batch * self.batch_size, (batch + 1) * self.batch_size)
        labels = self.labels[chosen]
        images = self.images[chosen][self.shard.of(len(labels))]
        return images.permute(0, 3, 1, 2), labels


class ArraySource:
    """A data set in memory, padded, cropped and flipped for training.

    When training on a GPU, the images are kept there as uint8 and batches are made there: copying a
    batch of CIFAR-10 would take longer than a training step on it.

    Args:
        pad, flip: as in :class:`AugmentedBatches`.
    """

    def __init__(self, arrays: ImageArrays, *, pad: int, flip: bool) -> None:
        self.arrays = arrays
        self.pad = pad
        self.flip = flip
        self.name = arrays.name
        self.classes = arrays.classes
        self.source = arrays.source
        self.image_size = arrays.train_images.shape[1:3]
        self.train_images = len(arrays.train_labels)
        self.crop_fraction = 1.0

    def channel_statistics(self) -> ChannelStatistics:
        return self.arrays.channel_statistics()

    def train_loader(
        self, batch_size: int, seed: int, shard: Shard = WHOLE, device: torch.device = CPU
    ) -> DataLoader[Batch]:
        dataset = AugmentedBatches(
            torch.from_numpy(self.arrays.train_images).to(device),
            torch.from_numpy(self.arrays.train_labels).to(device),
            batch_size=batch_size,
            seed=seed,
            pad=self.pad,
            flip=self.flip,
            shard=shard,
        )
        # A loader's iterator draws a random number when it is created. Lightning creates it before
        # the start of the first epoch of a call, but after the start of later ones. Drawn from the
        # global generator, the number would change what quantizers sample right after a resume.
        return DataLoader(
            dataset,
            batch_size=None,
            sampler=EpochBatches(len(dataset)),
            generator=torch.Generator(),
        )

    def test_loader(self, shard: Shard = WHOLE, device: torch.device = CPU) -> DataLoader[Batch]:
        dataset = PlainBatches(
            torch.from_numpy(self.arrays.test_images).to(device),
            torch.from_numpy(self.arrays.test_labels).to(device),
            TEST_BATCH,
            shard,
        )
        return DataLoader(dataset, batch_size=None)
