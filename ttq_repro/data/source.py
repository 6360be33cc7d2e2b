"""The interface between data sets, wherever their images are, and the trainer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from ttq_repro.data.shard import WHOLE, Shard
from ttq_repro.data.statistics import ChannelStatistics

CPU = torch.device("cpu")

#: The images of one process's shard, (shard, 3, H, W) uint8, and the labels of the whole batch,
#: (batch,) int64.
Batch = tuple[Tensor, Tensor]


class DataSource(Protocol):
    """A data set with its augmentation.

    Attributes:
        name: name of the data set.
        classes: the names of its classes, by label.
        source: where the images came from, in words.
        image_size: height and width of the network's input, in pixels.
        train_images: number of training images in an epoch.
        crop_fraction: share of an image's short side that evaluation uses.
    """

    name: str
    classes: tuple[str, ...]
    source: str
    image_size: tuple[int, int]
    train_images: int
    crop_fraction: float

    def channel_statistics(self) -> ChannelStatistics:
        """The statistics of the training images, before augmentation."""

    def train_loader(
        self, batch_size: int, seed: int, shard: Shard = WHOLE, device: torch.device = CPU
    ) -> DataLoader[Batch]:
        """Shuffled and augmented training batches; each iteration is one epoch.

        A batch depends only on (seed, epoch, batch), not on how many processes share it; the sizes
        are those of :func:`~ttq_repro.data.shard.training_batches`. The sampler has ``set_epoch``.
        Batches are meant for ``device``: they are made there if the images are kept there, and
        otherwise on the CPU, ready for transfer.
        """

    def test_loader(self, shard: Shard = WHOLE, device: torch.device = CPU) -> DataLoader[Batch]:
        """Test batches in a fixed order, without augmentation."""


class EpochBatches(Sampler[tuple[int, int]]):
    """Yields the keys (epoch, batch) of one epoch; Lightning calls ``set_epoch`` before each."""

    def __init__(self, batches: int) -> None:
        self.batches = batches
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((self.epoch, batch) for batch in range(self.batches))
