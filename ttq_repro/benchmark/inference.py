"""How fast packed networks compute, against float ones (configs/benchmark_inference.yaml)."""

from __future__ import annotations

import re
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import Tensor, nn

from ttq_repro.benchmark.engines import Engine, bf16_engines, compiled, float_engines
from ttq_repro.benchmark.timing import Interval, Timings, interleaved
from ttq_repro.deploy.load import build
from ttq_repro.deploy.packed import PackedNetwork
from ttq_repro.deploy.runtime import runtime
from ttq_repro.deploy.sizes import pack_as_it_stands, tell_scales_apart
from ttq_repro.errors import UserError
from ttq_repro.report.table import Table
from ttq_repro.runs.config import Config, compose_config
from ttq_repro.runs.hardware import cpu_flags, fastest_precision, processor
from ttq_repro.runs.trained import starting_network

PACKAGES = ("torch", "onnxruntime", "openvino")
HEADER = [
    "network", "batch", "computed by", "ms", "ms, 95%",
    "percent of float32", "percent, 95%", "weights, MB", "error of logits", "target",
]  # fmt: skip
CAPTION = (
    "Time of one call, median and its 95% interval, all engines in turns in one process; "
    "{hardware}, {threads} thread(s), {date}; {versions}; runtime at level {level}. "
    "Percent: of the fastest float32 engine, round by round. Weights are random, at sparsity 0.5; "
    "batch norm is folded; AlexNet-BN's first and last layer are float. Error: the largest "
    "difference from the logits in float64, over the largest logit."
)
EMULATED = "bf16: this CPU would emulate it, not measured."
NO_AMX = "There is no AMX path: its targets are held against the runtime's best level."


def measure(request: Config) -> Table:
    """Time the networks that ``request`` lists, at each batch size.

    Raises:
        UserError: there is no runtime to measure.
    """
    found = runtime()
    if found is None:
        raise UserError("the runtime needs a C++ compiler (CXX=..., by default g++)")
    threads = request["threads"]
    torch.set_num_threads(threads)
    rows = []
    for entry in request["networks"]:
        packed = _packed(entry)
        for batch in entry["batches"]:
            images = torch.randn(batch, 3, *packed.inputs.size)
            with torch.inference_mode():
                engines = _engines(packed, images, threads)
                timings = interleaved(engines, request["seconds"])
            labels = [entry["title"], str(batch)]
            targets = [
                target
                for target in request["targets"]
                if [target["network"], str(target["batch"])] == labels
            ]
            exact = build(packed, "dense").double()(images.double())
            rows += [[*labels, *row] for row in _rows(packed, engines, timings, exact, targets)]
            torch._dynamo.reset()
    missing = [f"{name}: not installed." for name in PACKAGES if _version(name) is None]
    notes = [NO_AMX] if "amx_bf16" in cpu_flags() else []
    notes += missing + ([EMULATED] if fastest_precision("cpu") != "bf16" else [])
    caption = CAPTION.format(
        hardware=processor(),
        threads=threads,
        date=date.today().isoformat(),
        versions=", ".join(f"{name} {_version(name)}" for name in PACKAGES if _version(name)),
        level=found.level,
    )
    return Table(caption, HEADER, rows, " ".join(notes))


def file_name() -> str:
    """What was measured, on which hardware, and when."""
    hardware = re.sub(r"[^a-z0-9]+", "-", processor().lower()).strip("-")
    return f"inference_{hardware}_{date.today().isoformat()}"


def _packed(entry: dict[str, Any]) -> PackedNetwork:
    config = compose_config("train", entry["overrides"])
    network = starting_network(config)
    tell_scales_apart(network)
    return pack_as_it_stands(network, config, entry["side"], fold=True)


def _engines(packed: PackedNetwork, images: Tensor, threads: int) -> dict[str, Engine]:
    """All that is compared; the names of ours begin with "ternary"."""
    network = build(packed, "packed")
    engines = {
        "ternary, packed": lambda: network(images),
        "ternary, packed, compiled": compiled(build(packed, "packed"), images),
    }
    engines |= float_engines(packed, images, threads)
    if fastest_precision("cpu") == "bf16":
        engines |= bf16_engines(packed, images, threads)
    return engines


def _rows(
    packed: PackedNetwork,
    engines: dict[str, Engine],
    timings: Timings,
    exact: Tensor,
    targets: list[dict[str, Any]],
) -> list[list[str]]:
    floats = [name for name in engines if not name.startswith("ternary") and "bf16" not in name]
    fastest = min(floats, key=lambda name: timings.of(name).median)
    dense = _megabytes(build(packed, "dense"))
    rows = []
    for name, engine in engines.items():
        seconds, ratio = timings.of(name), timings.ratio(name, fastest)
        milliseconds = Interval(*(1000 * value for value in vars(seconds).values()))
        percent = Interval(*(100 * value for value in vars(ratio).values()))
        ours = name.startswith("ternary")
        megabytes = _megabytes(build(packed, "packed")) if ours else dense
        with torch.inference_mode():
            difference = (engine().double() - exact).abs().max() / exact.abs().max()
        rows.append(
            [
                name,
                f"{milliseconds.median:.2f}",
                f"{milliseconds.low:.2f} to {milliseconds.high:.2f}",
                f"{percent.median:.1f}",
                f"{percent.low:.1f} to {percent.high:.1f}",
                f"{megabytes / 2 if 'bf16' in name else megabytes:.2f}",
                f"{difference.item():.1e}",
                ", ".join(_verdict(target, percent.median) for target in targets if ours) or "-",
            ]
        )
    return rows


def _verdict(target: dict[str, Any], percent: float) -> str:
    flags = cpu_flags()
    text = f"<= {target['percent']}"
    if not {target.get("needs")} - {None} <= flags or target.get("lacks") in flags:
        return f"{text} with {target['needs']}: not for this CPU"
    return f"{text}: {'met' if percent <= target['percent'] else 'not met'}"


def _megabytes(network: nn.Module) -> float:
    return sum(tensor.nbytes for tensor in network.state_dict().values()) / 1e6


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
