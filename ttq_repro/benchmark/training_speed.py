"""Speed of training against what a user would write (configs/benchmark.yaml)."""

from __future__ import annotations

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
from ttq_repro.benchmark.loops import EPOCH, Loop, bare, fitted, steps_per_epoch, yardstick
from ttq_repro.benchmark.photographs import CLASSES, SIZE, write_photographs
from ttq_repro.benchmark.publish import benchmark_name
from ttq_repro.benchmark.scale import cost_of_a_step
from ttq_repro.benchmark.start_up import seconds_to_first_step
from ttq_repro.benchmark.timing import Interval, Timings, in_rounds
from ttq_repro.benchmark.verdict import verdict
from ttq_repro.checks import check_choice, check_list, check_number, check_option, check_whole
from ttq_repro.data.load import load_data
from ttq_repro.runs.config import Config, choices, compose_config
from ttq_repro.runs.hardware import processor
from ttq_repro.runs.measure import RandomImages, loader_speed
from ttq_repro.table import NOTHING, Table
from ttq_repro.training.compilation import forget_compiled
from ttq_repro.training.device import device_of
from ttq_repro.training.preflight import preflight
from ttq_repro.workers import cores

#: Steps per epoch. CIFAR-10 has 391, for which three loops on a CPU would take half an hour.
STEPS = {"cpu": 40, "cuda": 391}
#: The same for bare steps, which have no work between epochs. Short turns keep the load of the
#: machine alike for all candidates of a round.
BARE_STEPS = {"cpu": 10, "cuda": 391}
#: Steps per epoch of photographs.
PHOTOGRAPH_STEPS = {"cpu": 1, "cuda": 50}
WORKERS = (0, 1, 2)
YARDSTICK = "yardstick: float32, eager, transforms image by image"
CIFAR10 = ("data=cifar10", "recipe=paper")

IN_TURNS = (
    "Epochs of {steps} steps on random images shaped like CIFAR-10, interleaved in one process: "
    "medians over the rounds, and ratios within a round with their 95% interval, which covers one "
    "session only."
)
ONCE_PER_EPOCH = (
    f"The work between two epochs (logging, checkpoint) counts once in {EPOCH:,} images. "
    "Evaluation has a single test image and takes practically no time."
)


def measure(request: Config) -> Iterator[tuple[str, Table]]:
    """Yield each table that ``request`` asks for when it is measured, with the name of its file.

    Raises:
        UserError: ``parts`` names an unknown table, or another option is invalid.
    """
    check_option("threads", request["threads"], check_whole, 1)
    for key in ("parts", "models", "batches"):
        check_option(key, request[key], check_list)
    check_option("overrides", request["overrides"], check_list, may_be_empty=True)
    for batch in request["batches"]:
        check_option("batches", batch, check_whole, 1)
    check_option("seconds", request["seconds"], check_number, 0)
    for model in request["models"]:
        check_option("models", model, check_choice, choices("model"))
    torch.set_num_threads(request["threads"])
    parts: dict[str, Callable[[Config], Table]] = {
        "training": loops_table,
        "quantizer_cost": cost_table,
        "scale": scale_table,
        "start_up": start_up_table,
        "photographs": photographs_table,
    }
    for part in request["parts"]:
        check_option("parts", part, check_choice, parts)
    hardware = _name(device_of(request["accelerator"]))
    for part in request["parts"]:
        yield benchmark_name(part, hardware), parts[part](request)


def loops_table(request: Config) -> Table:
    """A run as the project trains it, our bare step and, for the first network, the yardstick."""
    rows = [row for model in request["models"] for row in _loop_rows(request, model)]
    config = _config(request, request["models"][0], "full_precision")
    steps = STEPS[_device(config).type]
    header = [
        "network", "loop", "images/s", "s/epoch",
        "times as fast as the yardstick", "time over our step", "targets",
    ]  # fmt: skip
    caption = (
        "Training in full precision. The yardstick is the fastest of its three variants; on a CPU "
        "it keeps freed memory as our runs do, which makes it faster than a script of its own. "
        f"{IN_TURNS.format(steps=steps)} {ONCE_PER_EPOCH} {_setting(request, config)}"
    )
    return Table(caption, header, rows)


def _loop_rows(request: Config, model: str) -> list[list[str]]:
    config = _config(request, model, "full_precision")
    source = random_source(config, STEPS[_device(config).type])
    titles = {"bare": "our step alone, without Lightning", "fitted": "a run of the project"}
    with TemporaryDirectory() as folder, _loops() as loops:
        turns = {
            "bare": loops(bare(config, source)),
            "fitted": loops(fitted(config, source, Path(folder))),
        }
        if model == request["models"][0]:
            for workers in WORKERS:
                name = f"{YARDSTICK}, {workers} workers"
                titles[name] = name
                turns[name] = loops(yardstick(config, source.arrays, workers=workers))
        timings = in_rounds(turns, request["seconds"])
    yardsticks = [name for name in turns if name.startswith(YARDSTICK)]
    fastest = timings.fastest(yardsticks) if yardsticks else None
    batch, steps = config["recipe"]["batch_size"], steps_per_epoch(config)
    return [
        [
            model,
            titles[name],
            f"{batch / timings.of(name).median:,.0f}",
            f"{steps * timings.of(name).median:.2f}",
            _interval(timings.ratio(fastest, name)) if fastest else NOTHING,
            _interval(timings.ratio(name, "bare")),
            _verdicts(request, config, timings, fastest) if name == "fitted" else NOTHING,
        ]
        for name in [*yardsticks, "bare", "fitted"]
    ]


def _verdicts(request: Config, config: Config, timings: Timings, fastest: str | None) -> str:
    """Verdicts on the targets of a run as the project trains it."""
    targets, on_gpu = request["targets"], _device(config).type == "cuda"
    over_bare = verdict(timings.ratio("fitted", "bare"), at_most=targets["lightning"])
    told = [f"time over our step alone {over_bare}"]
    if fastest:
        faster = verdict(
            timings.ratio(fastest, "fitted"),
            at_least=targets["speedup"],
            needs=None if on_gpu else targets["speedup_needs"],
        )
        told.insert(0, f"faster {faster}")
    most = targets["epoch_on_gpu"].get(config["model"]["name"])
    if most is not None:
        seconds = timings.of("fitted") * steps_per_epoch(config)
        judged = verdict(seconds, at_most=most) if on_gpu else f"<= {most}: no GPU here"
        told.append(f"s/epoch {judged}")
    return "; ".join(told)


def cost_table(request: Config) -> Table:
    """The time of a step of TTQ over that of full precision."""
    networks = ("full_precision", "ttq")
    first = _config(request, request["models"][0], "ttq")
    steps = BARE_STEPS[_device(first).type]
    rows = []
    for model in request["models"]:
        configs = {name: _config(request, model, name) for name in networks}
        source = random_source(configs["ttq"], steps)
        with _loops() as loops:
            timings = in_rounds(
                {name: loops(bare(config, source)) for name, config in configs.items()},
                request["seconds"],
            )
        ratio = timings.ratio("ttq", "full_precision")
        rows.append(
            [
                model,
                *(f"{1000 * timings.of(name).median:.2f}" for name in configs),
                _interval(ratio),
                verdict(ratio, at_most=request["targets"]["ttq"]),
            ]
        )
    header = ["network", "full precision, ms", "TTQ, ms", "TTQ over full precision", "target"]
    caption = (
        f"What TTQ adds to a training step. {IN_TURNS.format(steps=steps)} "
        f"{_setting(request, first)}"
    )
    return Table(caption, header, rows)


def scale_table(request: Config) -> Table:
    """Memory and time of a TTQ step by depth and batch size."""
    rows = []
    for model in request["models"]:
        for batch in request["batches"]:
            config = _config(request, model, "ttq")
            config["recipe"]["batch_size"] = batch
            config["trainer"]["compile"] = False
            cost = cost_of_a_step(config)
            speed = f"{batch / cost.seconds:,.0f}"
            rows.append([model, str(batch), f"{cost.megabytes:,.0f}", f"{cost.seconds:.3f}", speed])
    header = ["network", "batch", "memory, MB", "step, s", "images/s"]
    caption = (
        "A training step of TTQ, uncompiled: the peak memory of network, optimizer and step, with "
        "a single batch as data, and the median time in a process of its own. "
        f"{_hardware(request, _config(request, request['models'][0], 'ttq'))}"
    )
    return Table(caption, header, rows)


def start_up_table(request: Config) -> Table:
    """The time from the start of Python to the end of the first step."""
    model = request["models"][0]
    configs = {name: _config(request, model, name) for name in ("full_precision", "ttq")}
    rows = []
    for quantizer, config in configs.items():
        with TemporaryDirectory() as cache:
            cold, warm = (seconds_to_first_step(config, Path(cache)) for _ in range(2))
        rows.append([quantizer, f"{cold:.0f}", f"{warm:.0f}"])
    header = ["quantizer", "compile cache empty, s", "filled by the run before, s"]
    caption = (
        f"From the start of Python to the end of the first step of {model}. "
        f"{_setting(request, configs['ttq'])}"
    )
    return Table(caption, header, rows)


def photographs_table(request: Config) -> Table:
    """The speed of preparing and loading photographs, against that of the steps they feed."""
    overrides = ["data=imagenette", f"data.num_classes={CLASSES}", "recipe=short_alexnet"]
    configs = {
        name: _config(request, "alexnet_bn", name, overrides) for name in ("full_precision", "ttq")
    }
    config = configs["ttq"]
    recipe, trainer, data = config["recipe"], config["trainer"], config["data"]
    batch, steps = recipe["batch_size"], PHOTOGRAPH_STEPS[_device(config).type]
    with TemporaryDirectory() as folder, _loops() as loops:
        images = write_photographs(Path(folder))
        data["root"] = folder
        started = time.perf_counter()
        source = load_data(data, Path(folder, "cache"), trainer["workers"])
        prepared = images / (time.perf_counter() - started)
        loaded = loader_speed(source.train_loader(batch, seed=0))
        noise = RandomImages(source.image_size, CLASSES, steps)
        timings = in_rounds(
            {name: loops(bare(one, noise)) for name, one in configs.items()}, request["seconds"]
        )
    speeds = {
        f"preparing, once, on {cores()} cores": prepared,
        f"loading, by {trainer['workers']} processes": loaded,
    } | {f"step, {name}": batch / timings.of(name).median for name in configs}
    needed = speeds["step, ttq"]
    rows = [[what, f"{speed:,.0f}", f"{speed / needed:.2f}"] for what, speed in speeds.items()]
    caption = (
        f"Generated photographs of {SIZE[0]}x{SIZE[1]} pixels, and AlexNet-BN in batches of "
        f"{batch}: images per second of each stage by itself. Preparing so few includes estimating "
        f"its cost from a sample, which for ILSVRC12 is negligible. {_hardware(request, config)}"
    )
    return Table(caption, ["what", "images/s", "over the step of TTQ"], rows)


@contextmanager
def _loops() -> Iterator[Callable[[Loop], Callable[[], float]]]:
    """Turns loops into functions to time, after a warm-up epoch; closes all loops on exit."""
    with ExitStack() as stack:
        stack.callback(forget_compiled)

        def turn(loop: Loop) -> Callable[[], float]:
            stack.callback(loop.close)
            next(loop)
            return partial(next, loop)

        yield turn


def _config(
    request: Config, model: str, quantizer: str, of_data: Sequence[str] = CIFAR10
) -> Config:
    own = ["trainer.progress=lines", f"model={model}", f"quantizer={quantizer}"]
    # Last, as files are named after this device.
    device = f"trainer.accelerator={request['accelerator']}"
    config = compose_config("train", [*of_data, *own, *request["overrides"], device])
    preflight(config)
    trainer = config["trainer"]
    if trainer["compile"] == "auto":  # In a long run, auto means True.
        trainer["compile"] = True
    return config


def _device(config: Config) -> torch.device:
    return device_of(config["trainer"]["accelerator"])


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor()


def _hardware(request: Config, config: Config) -> str:
    precision = config["trainer"]["precision"]
    versions = f"torch {version('torch')}, {date.today().isoformat()}"
    name, other = _name(_device(config)), request["overrides"]
    told = f"{name}, {request['threads']} threads, {precision}, {versions}."
    return f"{told} Not the usual runs: {', '.join(other)}." if other else told


def _setting(request: Config, config: Config) -> str:
    """The settings that all our steps share, and the hardware."""
    compiled = "compiled" if config["trainer"]["compile"] else "not compiled"
    graph = ", replayed as a graph" if _device(config).type == "cuda" else ""
    batch = config["recipe"]["batch_size"]
    return f"Batch {batch}; ours {compiled}{graph}. {_hardware(request, config)}"


def _interval(ratio: Interval) -> str:
    return f"{ratio.median:.3f} ({ratio.low:.3f} to {ratio.high:.3f})"
