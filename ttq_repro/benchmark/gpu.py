"""Fully connected layers at batch 1 on a GPU: 2-bit weights against cuBLAS."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from importlib.metadata import version

import torch
import torch.nn.functional as F
from torch import Tensor

from ttq_repro.benchmark.rows import HEADER, row
from ttq_repro.benchmark.timing import interleaved
from ttq_repro.benchmark.verdict import verdict
from ttq_repro.cuda_graph import capture
from ttq_repro.deploy.runtime.codes import FILTERS_PER_BLOCK, Codes
from ttq_repro.deploy.runtime.gpu import linear
from ttq_repro.table import Table

#: Inputs and outputs of AlexNet's large layers.
LAYERS = [(9216, 4096), (4096, 4096)]
#: Calls in one CUDA graph, so many that launching the graph takes negligible time.
CALLS = 50
FLOAT, HALF, OURS = "cuBLAS float32", "cuBLAS bf16", "ternary Triton"
CAPTION = (
    f"Time of {CALLS} calls of a fully connected layer as one CUDA graph, interleaved in one "
    "process: median and 95% interval, which covers one session only. {hardware}, torch {torch}, "
    "triton {triton}, {date}. Percent: relative to cuBLAS in float32 in the same round. All calls "
    "use the same weights, which stay in the GPU's L2 cache if they fit. Weights are random. "
    "Error: the largest difference from the outputs in float64, relative to the largest output."
)
#: The most time that the kernel may take, in percent of that of cuBLAS.
TARGETS = {FLOAT: 15, HALF: 30}


def linear_table(seconds: float) -> Table:
    """The table of all layers, each timed for ``seconds``; needs a GPU."""
    caption = CAPTION.format(
        hardware=torch.cuda.get_device_name(),
        torch=version("torch"),
        triton=version("triton"),
        date=date.today().isoformat(),
    )
    rows = [row for depth, filters in LAYERS for row in _layer(depth, filters, seconds)]
    return Table(caption, HEADER, rows)


def _layer(depth: int, filters: int, seconds: float) -> list[list[str]]:
    x = torch.randn(1, depth, device="cuda")
    codes = Codes(
        # All four codes occur; the fourth is another zero.
        torch.randint(-(2**31), 2**31, (filters // FILTERS_PER_BLOCK, depth), device="cuda").int(),
        torch.tensor([[-1.1, 0.0, 0.9, 0.0]], device="cuda"),
        torch.ones(1, filters, device="cuda"),
        torch.zeros(filters, device="cuda"),
    )
    weight = codes.unpacked()
    half_x, half = x.bfloat16(), weight.bfloat16()
    calls = {
        OURS: lambda: linear(x, codes),
        FLOAT: lambda: F.linear(x, weight),
        HALF: lambda: F.linear(half_x, half),
    }
    held = {OURS: codes.words.nbytes, FLOAT: weight.nbytes, HALF: half.nbytes}
    exact = F.linear(x.double(), weight.double())
    timings = interleaved({name: _captured(call) for name, call in calls.items()}, seconds)
    verdicts = [
        f"of {name} {verdict(timings.ratio(OURS, name) * 100, at_most=target)}"
        for name, target in TARGETS.items()
    ]
    return [
        row(
            [f"fully connected, {depth} to {filters}", "1"],
            *(timings, name, FLOAT),
            megabytes=held[name] / 1e6,
            error=((call().double() - exact).abs().max() / exact.abs().max()).item(),
            verdicts=verdicts if name == OURS else [],
        )
        for name, call in calls.items()
    ]


def _captured(call: Callable[[], Tensor]) -> Callable[[], None]:
    """A function that replays ``CALLS`` calls as one CUDA graph and waits for its end."""

    def calls() -> Tensor:
        for _ in range(CALLS - 1):
            call()
        return call()

    graph = capture(calls)

    def replay() -> None:
        graph()
        torch.cuda.synchronize()

    return replay
