"""Training loops to compare: endless generators that train one epoch at a time."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from hydra.utils import instantiate
from pytorch_lightning.loggers import CSVLogger
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from ttq_repro.allocator import keep_freed_memory
from ttq_repro.data.arrays import ImageArrays
from ttq_repro.data.source import DataSource
from ttq_repro.errors import UserError
from ttq_repro.runs.config import Config
from ttq_repro.training.compilation import Compilation
from ttq_repro.training.device import device_of
from ttq_repro.training.fit import fit
from ttq_repro.training.graphed import classifier
from ttq_repro.training.network import build_network, quantized_network
from ttq_repro.training.optimization import Recipe, optimizer_and_schedule

#: Trains an epoch each time it is advanced, leaves the device idle, and yields seconds per step.
Loop = Generator[float, None, None]
#: Trains on a batch of images and labels.
Step = Callable[[Tensor, Tensor], None]
#: Number of training images of CIFAR-10.
EPOCH = 50_000


class InMemoryImages(Dataset[tuple[Tensor, int]]):
    """Transforms images one by one, as torchvision's data sets do."""

    def __init__(self, arrays: ImageArrays, transform: v2.Transform) -> None:
        self.images = torch.from_numpy(arrays.train_images).permute(0, 3, 1, 2).contiguous()
        self.labels = arrays.train_labels.tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.images[index]), self.labels[index]


def yardstick(config: Config, arrays: ImageArrays, *, workers: int) -> Loop:
    """What a careful user would write: float32, eager, torchvision transforms, a DataLoader."""
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

    return _in_a_thread(_as_by_default(_epochs(step, loader, device)))


def bare(config: Config, source: DataSource) -> Loop:
    """Our own step without Lightning: the same network, batches, precision and optimizer.

    Raises:
        UserError: (when advanced) compiling or recording a CUDA graph failed, so that a fallback
            would be measured.
    """
    recipe = Recipe(**config["recipe"])
    device = device_of(config["trainer"]["accelerator"])
    if device.type == "cpu":
        keep_freed_memory()
    network = quantized_network(config).to(memory_format=torch.channels_last)
    fallbacks: list[str] = []
    if config["trainer"]["compile"]:
        Compilation(device, fallbacks.append).apply(network)
    mean, std = source.channel_statistics()
    module = classifier(
        device,
        replayed=True,
        warn=fallbacks.append,
        network=network,
        recipe=recipe,
        mean=mean,
        std=std,
        seed=config["seed"],
    ).to(device)
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
        if fallbacks:
            raise UserError(f"would measure a fallback: {fallbacks[0]}")

    return _in_a_thread(_epochs(step, loader, device))


def fitted(config: Config, source: DataSource, folder: Path) -> Loop:
    """A run as the project trains it, with Lightning, callbacks, data, logs and checkpoint.

    It trains in a thread of its own, which waits at the start of each epoch until it may go on. The
    time between two epochs, including evaluation of the source's test images, is divided by the
    number of steps in an epoch of CIFAR-10, since the source's own epochs may be shorter.

    Args:
        folder: for the checkpoint and logs.
    """
    pace = Pace()
    threads = torch.get_num_threads()

    def train() -> None:
        torch.set_num_threads(threads)  # The setting is per thread.
        # Progress would clutter the output. Warnings may go unseen: if something cannot be compiled
        # or recorded, the bare step raises an error.
        with suppress(Stopped), (folder / "said.txt").open("w") as said:
            fit(
                config,
                source,
                None,
                checkpoint=folder / "last.ckpt",
                loggers=[CSVLogger(folder, name="csv")],
                say=partial(print, file=said),
                observers=[pace],
            )

    steps = steps_per_epoch(config)
    with closing(pace.epochs(train)) as epochs:
        for epoch in epochs:
            yield epoch.seconds / epoch.steps + epoch.between / steps


def steps_per_epoch(config: Config) -> int:
    """Steps per epoch of a run on CIFAR-10."""
    return math.ceil(EPOCH / config["recipe"]["batch_size"])


class Stopped(Exception):  # noqa: N818 - nothing went wrong
    """Ends a training run that has been timed for long enough."""


class Epoch(NamedTuple):
    """The number of steps, the seconds they took, and the seconds until the next epoch's start."""

    steps: int
    seconds: float
    between: float


class Pace(pl.Callback):
    """Pauses a training run in another thread at the start of each epoch, until it may go on."""

    def __init__(self) -> None:
        self._go: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._ready: queue.SimpleQueue[float | Exception] = queue.SimpleQueue()

    def on_train_batch_start(
        self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, number: int
    ) -> None:
        if number > 0:
            return
        self._ready.put(time.perf_counter())
        if not self._go.get():
            raise Stopped
        self._started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, number: int
    ) -> None:
        if trainer.is_last_batch:
            _wait_for(module.device)
            self._steps, self._ended = number + 1, time.perf_counter()

    def epochs(self, train: Callable[[], None]) -> Generator[Epoch, None, None]:
        """Run ``train`` in a thread, an epoch at a time; its exceptions are raised here."""

        def run() -> None:
            try:
                train()
                self._ready.put(RuntimeError("the run ended before its measurement"))
            except Exception as error:
                self._ready.put(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self._next_start()
        try:
            while True:
                self._go.put(True)
                following = self._next_start()
                yield Epoch(self._steps, self._ended - self._started, following - self._ended)
        finally:
            self._go.put(False)
            thread.join()

    def _next_start(self) -> float:
        """The clock's time when the run was ready for its next epoch."""
        ready = self._ready.get()
        if isinstance(ready, Exception):
            raise ready
        return ready


def _epochs(step: Step, loader: DataLoader, device: torch.device) -> Loop:
    while True:
        started = time.perf_counter()
        for images, labels in loader:
            step(images, labels)
        _wait_for(device)
        yield (time.perf_counter() - started) / len(loader)


def _in_a_thread(loop: Loop) -> Loop:
    """The loop in a thread of its own, like that of :func:`fitted`.

    Glibc serves the interpreter's main thread and others from different heaps: before freed memory
    was kept, the same steps took up to 8% less CPU in another thread.
    """
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(threads,)) as own:
        try:
            while True:
                yield own.submit(next, loop).result()
        finally:
            own.submit(loop.close).result()


def _as_by_default(loop: Loop) -> Loop:
    """The loop with torch's default for float32 in cuDNN (TF32), which our runs change."""
    with closing(loop):
        while True:
            ours, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, True
            try:
                seconds = next(loop)
            finally:
                torch.backends.cudnn.allow_tf32 = ours
            yield seconds


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
