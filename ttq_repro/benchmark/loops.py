"""Training loops to be compared: endless iterators that take a number of steps at a time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice, starmap
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from hydra.utils import instantiate
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from ttq_repro.data.arrays import ImageArrays
from ttq_repro.data.source import DataSource
from ttq_repro.runs.config import Config
from ttq_repro.training.compilation import Compilation
from ttq_repro.training.device import device_of
from ttq_repro.training.fit import fit
from ttq_repro.training.graphed import classifier
from ttq_repro.training.network import attach_quantizer, build_network
from ttq_repro.training.optimization import Recipe, optimizer_and_schedule

#: Takes the steps of one turn whenever it is advanced, and ends with the device idle.
Loop = Iterator[None]


class InMemoryImages(Dataset[tuple[Tensor, int]]):
    """Images one by one through a transform, the way of torchvision's data sets."""

    def __init__(self, arrays: ImageArrays, transform: v2.Transform) -> None:
        self.images = torch.from_numpy(arrays.train_images).permute(0, 3, 1, 2).contiguous()
        self.labels = arrays.train_labels.tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.images[index]), self.labels[index]


def yardstick(config: Config, arrays: ImageArrays, *, workers: int, steps: int) -> Loop:
    """What a careful user writes: float32, eager, torchvision's transforms, a DataLoader."""
    recipe = config["recipe"]
    device = device_of(config["trainer"]["accelerator"])
    network = build_network(config, None).to(device)
    optimizer = instantiate(recipe["optimizer"], params=network.parameters())
    mean, std = arrays.channel_statistics()
    transform = v2.Compose(
        [
            v2.RandomCrop(arrays.train_images.shape[1:3], padding=config["data"]["pad"]),
            v2.RandomHorizontalFlip(0.5 if config["data"]["flip"] else 0),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(mean.tolist(), std.tolist()),
        ]
    )
    loader = DataLoader(
        InMemoryImages(arrays, transform),
        batch_size=recipe["batch_size"],
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=device.type == "cuda",
    )

    def step(images: Tensor, labels: Tensor) -> None:
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        optimizer.step()

    return _turns(starmap(step, _endless(loader)), steps, device)


def bare(config: Config, source: DataSource, *, steps: int) -> Loop:
    """Our own step without Lightning: the same network, batches, precision and optimizer."""
    recipe = Recipe(**config["recipe"])
    device = device_of(config["trainer"]["accelerator"])
    network = build_network(config, None)
    attach_quantizer(network, config)
    network.to(memory_format=torch.channels_last)
    if config["trainer"]["compile"]:
        Compilation(print).apply(network)
    mean, std = source.channel_statistics()
    arguments = (network, recipe, mean, std, config["seed"])
    module = classifier(*arguments, device=device, alone=True, warn=print).to(device)
    loader = source.train_loader(recipe.batch_size, config["seed"], device=device)
    made = optimizer_and_schedule(network, recipe, recipe.epochs * len(loader))
    optimizer = made["optimizer"]
    bf16 = config["trainer"]["precision"] == "bf16"

    def step(images: Tensor, labels: Tensor) -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            loss = module.training_step((images, labels), 0)
        module.optimizer_zero_grad(0, 0, optimizer)
        module.backward(loss)
        optimizer.step()
        module.on_train_batch_end()

    return _turns(starmap(step, _endless(loader)), steps, device)


def fitted(config: Config, source: DataSource, folder: Path, *, steps: int) -> Loop:
    """A run as the project trains it, Lightning, callbacks, data and all.

    It trains in a thread of its own, which waits at the start of a step until it is let go on.

    Args:
        folder: for its checkpoint.
    """
    pace = Pace()
    threads = torch.get_num_threads()

    def train() -> None:
        torch.set_num_threads(threads)  # Each thread has its own number.
        with suppress(Stopped):
            fit(
                config,
                source,
                None,
                scratch=folder,
                checkpoint=folder / "last.ckpt",
                loggers=[],
                say=print,
                observers=[pace],
            )

    return _turns(pace.steps(train), steps, device_of(config["trainer"]["accelerator"]))


class Stopped(Exception):  # noqa: N818 - nothing went wrong
    """Ends a training run that has been looked at for long enough."""


class Pace(pl.Callback):
    """Holds a training run, in another thread, at the start of each step until it may go on."""

    def __init__(self) -> None:
        self._go: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._ready: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def on_train_batch_start(self, *_: Any) -> None:
        self._ready.put(None)
        if not self._go.get():
            raise Stopped

    def steps(self, train: Any) -> Iterator[None]:
        """Run ``train`` in a thread, a step at a time; what it raises is raised here."""

        def run() -> None:
            try:
                train()
                self._ready.put(RuntimeError("the run ended before its measurement"))
            except Exception as error:
                self._ready.put(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self._wait()
        try:
            while True:
                self._go.put(True)
                self._wait()
                yield
        finally:
            self._go.put(False)
            thread.join()

    def _wait(self) -> None:
        if (error := self._ready.get()) is not None:
            raise error


def _endless(loader: DataLoader) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from loader


def _turns(steps: Iterator[None], number: int, device: torch.device) -> Loop:
    while True:
        for _ in islice(steps, number):
            pass
        if device.type == "cuda":
            torch.cuda.synchronize()
        yield
