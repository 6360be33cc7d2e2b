"""Measuring how fast runs will train, with a few steps of each on random images."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch.utils.data import DataLoader

from ttq_repro.data.load import load_data
from ttq_repro.data.node import image_size
from ttq_repro.data.shard import WHOLE, Shard, training_batches
from ttq_repro.data.source import CPU, Batch, DataSource
from ttq_repro.data.statistics import ChannelStatistics
from ttq_repro.errors import DataError, TrainingError
from ttq_repro.runs.check import check_run
from ttq_repro.runs.failures import as_training_error
from ttq_repro.runs.hardware import has_gpu
from ttq_repro.runs.plan import Plan, PlannedRun
from ttq_repro.runs.run import Run
from ttq_repro.runs.speed import Speed
from ttq_repro.runs.workspace import Workspace
from ttq_repro.training.compilation import is_compiled
from ttq_repro.training.device import device_of
from ttq_repro.training.fit import fit
from ttq_repro.training.network import build_network
from ttq_repro.workers import threads_each, workers_each

#: Steps of the timed epoch, and of the warm-up epoch before it.
CPU_STEPS, GPU_STEPS = 4, 100
#: Over how many batches a loader is timed, at least; with many processes, each delivers several.
LOADED, LOADED_BY_EACH = 20, 4


class RandomImages:
    """A :class:`DataSource` that repeats one batch of random images.

    Args:
        image_size: height and width.
        steps: batches per epoch.
    """

    name = source = "random images"

    def __init__(self, image_size: tuple[int, int], num_classes: int, steps: int) -> None:
        self.image_size = image_size
        self.classes = tuple(map(str, range(num_classes)))
        self.steps = steps
        self.train_images = 0
        self.crop_fraction = 1.0

    def channel_statistics(self) -> ChannelStatistics:
        return np.full(3, 0.5), np.full(3, 0.25)

    def train_loader(
        self, batch_size: int, seed: int, shard: Shard = WHOLE, device: torch.device = CPU
    ) -> DataLoader[Batch]:
        return self._loader(batch_size, self.steps, device)

    def test_loader(self, shard: Shard = WHOLE, device: torch.device = CPU) -> DataLoader[Batch]:
        return self._loader(1, 1, device)

    def _loader(self, batch_size: int, steps: int, device: torch.device) -> DataLoader[Batch]:
        shape = (batch_size, *self.image_size, 3)
        images = torch.randint(0, 256, shape, dtype=torch.uint8, device=device)
        images = images.permute(0, 3, 1, 2)
        labels = torch.randint(0, len(self.classes), (batch_size,), device=device)
        return DataLoader([(images, labels)] * steps, batch_size=None)  # type: ignore[arg-type]


def measured(plan: Plan, workspace: Workspace) -> Plan:
    """The plan with the speeds of its missing runs, measured on their share of the cores.

    The loader is timed only if its images are ready: preparing photographs is not the plan's job.
    Errors in the images are left to the plan to report.
    """
    found: dict[str, PlannedRun] = {}
    for planned in plan.missing:
        run = planned.run
        if run.identity in found:
            continue
        check_run(run)
        data = None
        if plan.problem is None and (plan.survey is None or plan.survey.done):
            workers = workers_each(run.config["trainer"]["workers"], plan.jobs)
            try:
                data = load_data(run.config["data"], workspace.cache, workers)
            except DataError as error:
                plan = replace(plan, problem=error)
                if run.config["data"]["root"] is not None:  # The plan will end with this error.
                    break
        with_speed = _measured_run(planned, data, plan.jobs, workspace)
        if with_speed is not None:
            found[run.identity] = with_speed
    return replace(
        plan,
        runs=[
            replace(planned, images=by_seed.images, speed=by_seed.speed)
            for planned in plan.runs
            for by_seed in [found.get(planned.run.identity, planned)]
        ],
    )


def _measured_run(
    planned: PlannedRun, data: DataSource | None, jobs: int, workspace: Workspace
) -> PlannedRun | None:
    """A run with the speed that it has among ``jobs``, which is told; None if it diverges."""
    run = planned.run
    trainer, batch_size = run.config["trainer"], run.config["recipe"]["batch_size"]
    images = data.train_images if data else planned.images
    with share_of_cores(jobs * run.processes) as threads:
        try:
            speed = step_speed(run, images, workspace)
        except TrainingError as error:
            # A large learning rate may diverge on random images.
            print(f"not measured: {run.identity}: {error}")
            return None
        told = f"step {speed:,.1f} images/s"
        if data:
            device = device_of(trainer["accelerator"])
            loader = data.train_loader(batch_size, 0, device=device)
            loaded = loader_speed(loader, device)
            # Processes of its own load during a step; without them, a step waits.
            beside = loader.num_workers > 0
            speed = min(speed, loaded) if beside else 1 / (1 / speed + 1 / loaded)
            told += f", loader {loaded:,.0f} images/s"
            del loader  # Ends its processes.
    print(f"measured: {run.identity}: {told}")
    used = None if has_gpu(trainer["accelerator"]) else threads * run.processes
    return replace(planned, images=images, speed=Speed(speed, "measured now", used))


@contextmanager
def share_of_cores(processes: int) -> Iterator[int]:
    """Use as many threads as each of ``processes`` gets that train side by side."""
    before = torch.get_num_threads()
    threads = threads_each(before, processes)
    torch.set_num_threads(threads)
    try:
        yield threads
    finally:
        torch.set_num_threads(before)


def step_speed(run: Run, images: int | None, workspace: Workspace) -> float:
    """Images per second of the run's training steps, without loading images.

    If the run has several processes, only one is timed, on its shard of the batch: the time to
    average their gradients is not included.

    Args:
        images: number per epoch of the run; None if unknown, as for a large data set.
    """
    config = run.config
    data, trainer, recipe = config["data"], config["trainer"], config["recipe"]
    device = device_of(trainer["accelerator"])
    steps = CPU_STEPS if device.type == "cpu" else GPU_STEPS
    batches = math.inf if images is None else len(training_batches(images, recipe["batch_size"]))
    # The trained network is discarded.
    trainer = trainer | {
        "degenerate": "warn",
        "compile": is_compiled(trainer, run.epochs * batches, device),
    }
    shard = recipe["batch_size"] // run.processes
    shortened = config | {
        # Done once in hundreds of steps, it would count as if in these few.
        "reestimate_batch_norm": None,
        "trainer": trainer | {"progress": False},
        "recipe": recipe | {"epochs": 2, "warm_up": None, "batch_size": shard},
    }
    # The cost of a teacher does not depend on its weights.
    parent = build_network(config, None).state_dict() if config["distillation"] else None
    workspace.outputs.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=workspace.outputs) as folder, as_training_error(run):
        fitted = fit(
            shortened,
            RandomImages(image_size(data), data["num_classes"], steps),
            parent,
            checkpoint=Path(folder) / "last.ckpt",
            loggers=[],
            say=lambda _: None,
        )
    return steps * recipe["batch_size"] / fitted.history["seconds"][-1]


def loader_speed(loader: DataLoader[Batch], device: torch.device = CPU) -> float:
    """Images per second that a training loader delivers.

    The batches that its processes make ahead while they start do not count.

    Args:
        device: where the loader makes batches.
    """
    ahead = 1 + loader.num_workers * (loader.prefetch_factor or 0)
    batches = iter(loader)
    if len(loader) > 2 * ahead:
        _images(islice(batches, ahead))
    else:  # Too few would be left; in a second epoch, the processes have started.
        _images(batches)
        batches = iter(loader)
    started = time.perf_counter()
    images = _images(islice(batches, max(LOADED, LOADED_BY_EACH * loader.num_workers)))
    if device.type == "cuda":
        torch.cuda.synchronize()
    return images / (time.perf_counter() - started)


def _images(batches: Iterable[Batch]) -> int:
    return sum(len(labels) for _, labels in batches)
