"""Batches of stored photographs, decoded in worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from io import BytesIO

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ttq_repro.data.augmentation import CROP_FRACTION, Augmentation, View, center_crop
from ttq_repro.data.shard import WHOLE, Shard, training_batches
from ttq_repro.data.source import CPU, Batch, EpochBatches
from ttq_repro.data.statistics import ChannelStatistics
from ttq_repro.data.store import ImageStore, StoredSplit
from ttq_repro.errors import DataError

TEST_BATCH = 200
ORDER, VIEWS = 0, 1  # The random streams of an epoch; there is one VIEWS stream per batch.


class PhotographSource:
    """A prepared store as a data set.

    Args:
        name: name of the data set.
        crop: side of the network's input images, in pixels.
        augmentation: chooses the part of a training photograph that they show.
        workers: number of decoding processes; it does not affect the batches.
    """

    def __init__(
        self, name: str, store: ImageStore, *, crop: int, augmentation: Augmentation, workers: int
    ) -> None:
        self.name = name
        self.classes = store.classes
        self.image_size = (crop, crop)
        self.train_images = store.counts["train"]
        self.crop_fraction = CROP_FRACTION
        self.source = f"photographs, short side {store.stored_as.short_side}"
        self._train, self._test = store.split("train"), store.split("val")
        self._crop = crop
        self._augmentation = augmentation
        self._workers = workers

    def channel_statistics(self) -> ChannelStatistics:
        return self._train.channel_statistics()

    def train_loader(
        self, batch_size: int, seed: int, shard: Shard = WHOLE, device: torch.device = CPU
    ) -> DataLoader[Batch]:
        dataset = TrainBatches(self._train, batch_size, seed, self._crop, self._augmentation, shard)
        return self._loader(dataset, EpochBatches(len(dataset)), device)

    def test_loader(self, shard: Shard = WHOLE, device: torch.device = CPU) -> DataLoader[Batch]:
        dataset = CenterBatches(self._test, self._crop, shard)
        return self._loader(dataset, range(len(dataset)), device)

    def _loader(
        self, dataset: Dataset[Batch], sampler: Iterable, device: torch.device
    ) -> DataLoader[Batch]:
        return LateLoader(
            dataset,
            batch_size=None,
            sampler=sampler,
            num_workers=self._workers,
            persistent_workers=self._workers > 0,
            pin_memory=device.type == "cuda",
            # Not the global generator, from which networks and quantizers sample.
            generator=torch.Generator(),
        )


class LateLoader(DataLoader[Batch]):
    """A loader that starts an epoch only when its first batch is requested.

    When a run resumes, Lightning creates the iterator before it tells the sampler the epoch; by
    then worker processes would already have fetched batches of the wrong epoch.

    Raises:
        DataError: a photograph is damaged; the worker's traceback that torch adds is removed.
    """

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        try:
            yield from super().__iter__()
        except DataError as error:
            raise DataError(str(error).strip().rpartition("DataError: ")[2]) from None


class TrainBatches(Dataset[Batch]):
    """Shuffled and augmented batches (:func:`training_batches`).

    Seed and epoch determine the order; seed, epoch and batch determine the views. Each is drawn
    from a stream of its own.

    Shapes: ``self[epoch, batch]`` is (shard, 3, crop, crop) uint8, channels last, and (batch,)
    int64.
    """

    def __init__(
        self,
        photographs: StoredSplit,
        batch_size: int,
        seed: int,
        crop: int,
        augmentation: Augmentation,
        shard: Shard = WHOLE,
    ) -> None:
        self.photographs = photographs
        self.batches = training_batches(len(photographs), batch_size)
        self.seed = seed
        self.crop = crop
        self.augmentation = augmentation
        self.shard = shard
        self._epoch: int | None = None

    def __len__(self) -> int:
        """Batches per epoch."""
        return len(self.batches)

    def __getitem__(self, key: tuple[int, int]) -> Batch:
        epoch, batch = key
        if epoch != self._epoch:
            self._order = self._random(epoch, ORDER).permutation(len(self.photographs))
            self._epoch = epoch
        chosen = self._order[self.batches[batch]]
        random = self._random(epoch, VIEWS, batch)
        view = partial(self.augmentation, crop=self.crop, random=random)
        own = range(len(chosen))[self.shard.of(len(chosen))]
        images = _images(self.photographs, chosen, own, view, self.crop)
        return images, torch.from_numpy(self.photographs.labels[chosen])

    def _random(self, epoch: int, *stream: int) -> np.random.Generator:
        # Not (seed, epoch, *stream): to numpy (1, 2) and (1, 2, 0) are the same seed.
        seed = np.random.SeedSequence((self.seed, epoch), spawn_key=stream)
        return np.random.default_rng(seed)


class CenterBatches(Dataset[Batch]):
    """Center crops of all photographs in order; indexed by the batch's number."""

    def __init__(self, photographs: StoredSplit, crop: int, shard: Shard = WHOLE) -> None:
        self.photographs = photographs
        self.crop = crop
        self.shard = shard

    def __len__(self) -> int:
        return -(-len(self.photographs) // TEST_BATCH)

    def __getitem__(self, batch: int) -> Batch:
        stop = min((batch + 1) * TEST_BATCH, len(self.photographs))
        chosen = np.arange(batch * TEST_BATCH, stop)
        own = chosen[self.shard.of(len(chosen))]
        images = _images(self.photographs, own, range(len(own)), center_crop, self.crop)
        return images, torch.from_numpy(self.photographs.labels[chosen])


def _images(
    photographs: StoredSplit,
    chosen: np.ndarray,
    own: range,
    view: Callable[[int, int], View],
    crop: int,
) -> Tensor:
    """The views of the photographs at the places ``own`` among the ``chosen`` ones."""
    images = torch.empty((len(own), crop, crop, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    places = iter(images)
    for number, index in enumerate(chosen):
        with Image.open(BytesIO(photographs[int(index)])) as photograph:
            # Drawn for other processes' photographs too, which are not decoded, so that all
            # processes draw the same views.
            seen = view(photograph.height, photograph.width)
            if number in own:
                next(places).copy_(_resize(_pixels(photograph), seen, crop))
    return images


def _pixels(photograph: Image.Image) -> Tensor:
    """(3, height, width) uint8, channels last."""
    return torch.from_numpy(np.array(photograph.convert("RGB"))).permute(2, 0, 1)


def _resize(pixels: Tensor, view: View, crop: int) -> Tensor:
    top, left, height, width, mirrored = view
    part = pixels[None, :, top : top + height, left : left + width]
    resized = F.interpolate(part, (crop, crop), mode="bilinear", antialias=True)[0]
    return resized.flip(2) if mirrored else resized
