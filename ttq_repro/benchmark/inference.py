"""Speed of packed networks against float ones (configs/benchmark_inference.yaml)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor, nn

from ttq_repro.allocator import keep_freed_memory
from ttq_repro.benchmark.engines import Engine, bf16_engines, compiled, float_engines
from ttq_repro.benchmark.publish import benchmark_name
from ttq_repro.benchmark.rows import HEADER, row
from ttq_repro.benchmark.timing import Interval, interleaved
from ttq_repro.benchmark.untrained import untrained
from ttq_repro.benchmark.verdict import verdict
from ttq_repro.checks import (
    check_fields,
    check_list,
    check_number,
    check_option,
    check_text,
    check_whole,
)
from ttq_repro.deploy.loading import build
from ttq_repro.deploy.packed import PackedNetwork
from ttq_repro.deploy.runtime import Runtime, runtime
from ttq_repro.errors import UserError
from ttq_repro.runs.config import Config
from ttq_repro.runs.hardware import fastest_precision, processor
from ttq_repro.table import Table
from ttq_repro.training.compilation import forget_compiled

#: What an entry of ``networks`` consists of.
KEYS = ("title", "overrides", "side", "batches")
#: What one of ``targets`` consists of, and the upper limits and words that it may have besides.
TARGET, LIMITS, WORDS = ("network", "batch"), ("percent", "error"), ("needs", "lacks", "engine")
#: Our engines that are exact up to rounding.
EXACT = ("ternary", "ternary compiled")
ONE_PASS = "amx_one_pass"
PACKAGES = ("torch", "onnxruntime", "openvino")
CAPTION = (
    "Time of one call, all engines interleaved in one process: median and 95% interval, which "
    "covers one session only. {hardware}, {threads} thread(s), {date}; {versions}; runtime "
    "with kernel {kernel}. Memory that torch's engines free is kept for their next call "
    "(ttq_repro.allocator), as the other engines do. Percent: relative to the fastest float32 "
    "engine in the same round. Weights are random, at sparsity 0.5; batch norm is folded; "
    "AlexNet-BN's first and last layer are float. "
    "Error: the largest difference from the logits in float64, relative to the largest logit."
)
EMULATED = "bf16 is not measured, as this CPU would emulate it."


def measure(request: Config) -> Iterator[tuple[str, Table]]:
    """Yield each table as soon as it is measured, with the name of its file.

    On the CPU, these are the networks that ``request`` lists, at each batch size; if there is a
    GPU, also fully connected layers on it.

    Raises:
        UserError: there is no runtime to measure, or an option is invalid.
    """
    has_gpu = torch.cuda.is_available()
    check_option("networks", request["networks"], check_list, may_be_empty=has_gpu)
    check_option("targets", request["targets"], check_list, may_be_empty=True)
    check_option("seconds", request["seconds"], check_number, 0)
    for target in request["targets"]:
        check_option("targets", target, check_fields, TARGET, (*LIMITS, *WORDS))
        for keys, check in ((LIMITS, check_number), (WORDS, check_text)):
            for key in target.keys() & keys:
                check_option(f"targets.{key}", target[key], check)
    if request["networks"]:
        yield benchmark_name("inference", processor()), networks_table(request)
    if has_gpu:
        # Imported here, as it needs Triton.
        from ttq_repro.benchmark import gpu

        hardware = torch.cuda.get_device_name()
        yield benchmark_name("linear_on_gpu", hardware), gpu.linear_table(request["seconds"])


def networks_table(request: Config) -> Table:
    """The table of whole packed networks on the CPU.

    Raises:
        UserError: there is no runtime to measure, or an option or an entry of ``networks`` or
            ``targets`` is invalid or incomplete, or quantizes no layer.
    """
    found = runtime()
    if found is None:
        raise UserError("the runtime needs a C++ compiler (CXX=..., by default g++)")
    threads = request["threads"]
    check_option("threads", threads, check_whole, 1)
    torch.set_num_threads(threads)
    keep_freed_memory()
    rows = []
    # All are made before the first is measured, since each takes minutes.
    for title, packed, batches in [_subject(entry) for entry in request["networks"]]:
        for batch in batches:
            labels = [title, str(batch)]
            targets = [
                target
                for target in request["targets"]
                if [str(target["network"]), str(target["batch"])] == labels
            ]
            images = torch.randn(batch, 3, *packed.inputs.size)
            rows += _rows(labels, packed, images, request, targets)
            forget_compiled()
    notes = [f"{name}: not installed." for name in PACKAGES if _version(name) is None]
    if fastest_precision("cpu") != "bf16":
        notes.append(EMULATED)
    if not torch.cuda.is_available():
        notes.append("No GPU: its kernel is not measured.")
    caption = CAPTION.format(
        hardware=processor(),
        threads=threads,
        date=date.today().isoformat(),
        versions=", ".join(f"{name} {_version(name)}" for name in PACKAGES if _version(name)),
        kernel=found.kernel,
    )
    return Table(caption, HEADER, rows, " ".join(notes))


def _subject(entry: Any) -> tuple[str, PackedNetwork, list[int]]:
    """The title of an entry of ``networks``, its packed network, and the batch sizes."""
    check_option("networks", entry, check_fields, KEYS)
    title, overrides, side, batches = itemgetter(*KEYS)(entry)
    check_option("batches", batches, check_list)
    for batch in batches:
        check_option("batches", batch, check_whole, 1)
    packed = untrained(overrides, side).pack(fold=True)
    if not packed.layers:
        raise UserError(f"networks: {title}: no layer is quantized")
    return str(title), packed, batches


def _engines(packed: PackedNetwork, images: Tensor, threads: int) -> dict[str, Engine]:
    """All engines to compare; the names of ours begin with "ternary"."""
    network = build(packed, "packed")
    engines = {
        "ternary": lambda: network(images),
        "ternary compiled": compiled(build(packed, "packed"), images),
    }
    if (found := runtime()) and ONE_PASS in found.supported:
        engines["ternary one pass"] = partial(_in_one_pass, found, network, images)
    engines |= float_engines(packed, images, threads)
    if fastest_precision("cpu") == "bf16":
        engines |= bf16_engines(packed, images, threads)
    return engines


def _in_one_pass(found: Runtime, network: nn.Module, images: Tensor) -> Tensor:
    exact = found.kernel
    found.use(ONE_PASS)
    try:
        return network(images)
    finally:
        found.use(exact)


def _verdicts(
    name: str, engines: Iterable[str], percent: Interval, error: float, targets: list[Config]
) -> list[str]:
    """Verdicts on the targets of one of our engines.

    Those of the first engine include the targets of engines that this machine lacks.
    """
    verdicts = []
    for target in targets:
        engine: str = target.get("engine", "")
        lacking = engine not in {"", *engines}
        told_of = EXACT[:1] if lacking else (engine,) if engine else EXACT
        if name not in told_of:
            continue
        conditions = {key: target.get(key) for key in ("needs", "lacks")}
        told = ", ".join(
            f"{label}{verdict(None if lacking else value, at_most=target[bound], **conditions)}"
            for bound, label, value in (
                ("percent", "", percent),
                ("error", "error ", Interval.exactly(error)),
            )
            if bound in target
        )
        verdicts.append(f"{engine.removeprefix('ternary ')} {told}" if lacking else told)
    return verdicts


def _rows(
    labels: list[str],
    packed: PackedNetwork,
    images: Tensor,
    request: Config,
    targets: list[dict[str, Any]],
) -> list[list[str]]:
    with torch.inference_mode():
        engines = _engines(packed, images, request["threads"])
        timings = interleaved(engines, request["seconds"])
        exact = build(packed, "dense").double()(images.double())
        errors = {
            name: ((engine().double() - exact).abs().max() / exact.abs().max()).item()
            for name, engine in engines.items()
        }
    floats = [name for name in engines if not name.startswith("ternary") and "bf16" not in name]
    fastest = timings.fastest(floats)
    dense, ternary = (_megabytes(build(packed, weights)) for weights in ("dense", "packed"))
    rows = []
    for name in engines:
        ours = name.startswith("ternary")
        percent = timings.ratio(name, fastest) * 100
        megabytes = ternary if ours else dense / 2 if "bf16" in name else dense
        rows.append(
            row(
                *(labels, timings, name, fastest),
                megabytes=megabytes,
                error=errors[name],
                verdicts=_verdicts(name, engines, percent, errors[name], targets) if ours else [],
            )
        )
    return rows


def _megabytes(network: nn.Module) -> float:
    return sum(tensor.nbytes for tensor in network.state_dict().values()) / 1e6


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
