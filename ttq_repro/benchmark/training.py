"""How fast networks train, against what a user would write (configs/benchmark.yaml)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from ttq_repro.benchmark.images import random_source
from ttq_repro.benchmark.loops import Loop, bare, fitted, yardstick
from ttq_repro.benchmark.naming import benchmark_name
from ttq_repro.benchmark.photographs import CLASSES, SIZE, write_photographs
from ttq_repro.benchmark.scale import cost_of_a_step
from ttq_repro.benchmark.start_up import seconds_to_first_step
from ttq_repro.benchmark.timing import Interval, interleaved
from ttq_repro.benchmark.verdict import verdict
from ttq_repro.data.load import load_data
from ttq_repro.runs.config import Config, compose_config
from ttq_repro.runs.hardware import has_gpu, processor
from ttq_repro.runs.measure import RandomImages, loader_speed
from ttq_repro.table import Table
from ttq_repro.training.device import device_of
from ttq_repro.training.fit import COMPILE_FROM_STEPS
from ttq_repro.workers import cores

#: Steps that are timed as one: on a GPU, waiting for each would be timed as well.
CPU_STEPS, GPU_STEPS = 1, 50
WORKERS = (0, 1, 2)
CIFAR10 = ("data=cifar10", "recipe=paper")

IN_TURNS = (
    "Median of steps taken in turns in one process, ratios step by step with their 95% interval. "
    "Random images shaped like CIFAR-10."
)


def measure(request: Config) -> dict[str, Table]:
    """The tables that ``request`` asks for, by the names of their files."""
    torch.set_num_threads(request["threads"])
    parts: dict[str, Callable[[Config], Table]] = {
        "training": loops_table,
        "quantizer_cost": cost_table,
        "scale": scale_table,
        "start_up": start_up_table,
        "photographs": photographs_table,
    }
    hardware = torch.cuda.get_device_name() if has_gpu() else processor()
    return {benchmark_name(part, hardware): parts[part](request) for part in request["parts"]}


def loops_table(request: Config) -> Table:
    """The yardstick, our bare step, and a run as the project trains it."""
    config = _config(request, request["model"], "full_precision")
    source = random_source(config)
    steps = _steps(config)
    with _loops() as loops, TemporaryDirectory() as folder:
        by_workers = {
            str(workers): loops(yardstick(config, source.arrays, workers=workers, steps=steps))
            for workers in WORKERS
        }
        first = interleaved(by_workers, request["seconds"] / 4)
        best = min(by_workers, key=lambda workers: first.of(workers).median)
        timings = interleaved(
            {
                "yardstick": by_workers[best],
                "bare": loops(bare(config, source, steps=steps)),
                "fitted": loops(fitted(config, source, Path(folder), steps=steps)),
            },
            request["seconds"],
        )
    titles = {
        "yardstick": f"yardstick: float32, eager, transforms image by image, {best} workers",
        "bare": "our step alone, without Lightning",
        "fitted": "a run of the project",
    }
    images = steps * config["recipe"]["batch_size"]
    targets = request["targets"]
    faster = verdict(
        timings.ratio("yardstick", "fitted").median,
        at_least=targets["speedup"],
        needs=targets["speedup_needs"],
    )
    overhead = verdict(timings.ratio("fitted", "bare").median, at_most=targets["lightning"])
    rows = [
        [
            title,
            f"{images / timings.of(name).median:,.0f}",
            _interval(timings.ratio("yardstick", name)),
            _interval(timings.ratio(name, "bare")),
            f"faster {faster}; time over our step alone {overhead}" if name == "fitted" else "-",
        ]
        for name, title in titles.items()
    ]
    header = ["loop", "images/s", "times as fast as the yardstick", "time over our step", "targets"]
    caption = f"Training of {request['model']}, batch {config['recipe']['batch_size']}."
    return Table(f"{caption} {IN_TURNS} {_hardware(request, config)}.", header, rows)


def cost_table(request: Config) -> Table:
    """A step of TTQ over one of full precision."""
    rows = []
    for model in request["cost_models"]:
        configs = {name: _config(request, model, name) for name in ("full_precision", "ttq")}
        source = random_source(configs["ttq"])
        steps = _steps(configs["ttq"])
        with _loops() as loops:
            timings = interleaved(
                {
                    name: loops(bare(config, source, steps=steps))
                    for name, config in configs.items()
                },
                request["seconds"],
            )
        ratio = timings.ratio("ttq", "full_precision")
        rows.append(
            [
                model,
                *(f"{1000 * timings.of(name).median / steps:.2f}" for name in configs),
                _interval(ratio),
                verdict(ratio.median, at_most=request["targets"]["ttq"]),
            ]
        )
    header = ["network", "full precision, ms", "TTQ, ms", "TTQ over full precision", "target"]
    hardware = _hardware(request, configs["ttq"])
    caption = f"What TTQ adds to a training step. {IN_TURNS} {hardware}."
    return Table(caption, header, rows)


def scale_table(request: Config) -> Table:
    """Memory and time of TTQ by depth and batch size."""
    rows = []
    for model in request["cost_models"]:
        for batch in request["batches"]:
            config = _config(request, model, "ttq")
            config["recipe"]["batch_size"] = batch
            config["trainer"]["compile"] = False
            cost = cost_of_a_step(config)
            speed = f"{batch / cost.seconds:,.0f}"
            rows.append([model, str(batch), f"{cost.megabytes:,.0f}", f"{cost.seconds:.3f}", speed])
    header = ["network", "batch", "memory, MB", "step, s", "images/s"]
    caption = (
        "A training step of TTQ, uncompiled: the most memory that it takes, and its median time "
        f"alone in a process. {_hardware(request, config)}."
    )
    return Table(caption, header, rows)


def start_up_table(request: Config) -> Table:
    """From the start of Python to the end of the first step."""
    rows = []
    for quantizer in ("full_precision", "ttq"):
        config = _config(request, request["model"], quantizer)
        with TemporaryDirectory() as cache:
            cold, warm = (seconds_to_first_step(config, Path(cache)) for _ in range(2))
        rows.append([quantizer, f"{cold:.0f}", f"{warm:.0f}"])
    header = ["quantizer", "compile cache empty, s", "filled by the run before, s"]
    caption = (
        f"From the start of Python to the end of the first step of {request['model']}. "
        f"{_hardware(request, config)}."
    )
    return Table(caption, header, rows)


def photographs_table(request: Config) -> Table:
    """What preparing photographs and loading them costs beside the steps that they are for."""
    overrides = ["data=imagenette", f"data.num_classes={CLASSES}", "recipe=short_alexnet"]
    configs = {
        name: _config(request, "alexnet_bn", name, overrides) for name in ("full_precision", "ttq")
    }
    config = configs["ttq"]
    recipe, trainer, data = config["recipe"], config["trainer"], config["data"]
    batch, steps = recipe["batch_size"], _steps(config)
    with TemporaryDirectory() as folder, _loops() as loops:
        images = write_photographs(Path(folder))
        data["root"] = folder
        started = time.perf_counter()
        source = load_data(data, Path(folder, "cache"), trainer["workers"])
        prepared = images / (time.perf_counter() - started)
        loaded = loader_speed(source, batch)
        noise = RandomImages(source.image_size, CLASSES, steps)
        timings = interleaved(
            {name: loops(bare(one, noise, steps=steps)) for name, one in configs.items()},
            request["seconds"],
        )
    speeds = {
        f"preparing, once, on {cores()} cores": prepared,
        f"loading, by {trainer['workers']} processes": loaded,
    } | {f"step, {name}": steps * batch / timings.of(name).median for name in configs}
    needed = speeds["step, ttq"]
    rows = [[what, f"{speed:,.0f}", f"{speed / needed:.2f}"] for what, speed in speeds.items()]
    caption = (
        f"Photographs: generated ones, {SIZE[0]}x{SIZE[1]} pixels, and AlexNet-BN in batches of "
        f"{batch}. Each alone, in images a second. {_hardware(request, config)}."
    )
    return Table(caption, ["what", "images/s", "over the step of TTQ"], rows)


@contextmanager
def _loops() -> Iterator[Callable[[Loop], Callable[[], None]]]:
    """Makes calls of loops, and ends the loops at last."""
    with ExitStack() as stack:

        def call(loop: Loop) -> Callable[[], None]:
            stack.callback(loop.close)  # type: ignore[attr-defined]
            return partial(next, loop)

        yield call


def _config(
    request: Config, model: str, quantizer: str, of_data: Sequence[str] = CIFAR10
) -> Config:
    own = ["trainer.progress=false", f"model={model}", f"quantizer={quantizer}"]
    config = compose_config("train", [*of_data, *own, *request["overrides"]])
    trainer = config["trainer"]
    if trainer["compile"] == "auto":  # As in a long run.
        trainer["compile"] = COMPILE_FROM_STEPS[device_of(trainer["accelerator"]).type] < math.inf
    return config


def _steps(config: Config) -> int:
    return GPU_STEPS if has_gpu() and config["trainer"]["accelerator"] != "cpu" else CPU_STEPS


def _hardware(request: Config, config: Config) -> str:
    name = torch.cuda.get_device_name() if _steps(config) > 1 else processor()
    precision = config["trainer"]["precision"]
    versions = f"torch {version('torch')}, {date.today().isoformat()}"
    return f"{name}, {request['threads']} threads, {precision}, {versions}"


def _interval(ratio: Interval) -> str:
    return f"{ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"
