"""Many runs in one process leave no tensor and no open file; hundreds do not grow its memory."""

from __future__ import annotations

import ctypes
import gc
import resource
from collections.abc import Callable
from pathlib import Path

import torch

from tests.faults.conftest import Count, Tally
from ttq_repro.runs.execute import execute
from ttq_repro.runs.run import Run

MIB = 2**20
#: Leaking one network with its optimizer (0.6 MiB) per run would add 270 MiB in the 450 counted.
TOLERATED_MIB = 100


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def live_tensors() -> int:
    gc.collect()
    return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())


def resident_bytes() -> int:
    """Memory in use, without what malloc keeps for later, sometimes hundreds of megabytes."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_many_runs_in_a_row(tiny_run: Callable[..., Run], count: Count, tally: Tally) -> None:
    runs, settled = count(4, 500), count(1, 50)
    first = tiny_run("quantizer=ttq", "recipe.epochs=1", "recipe.batch_size=512")
    before = tensors = files = 0
    for seed in range(runs):
        execute(first.with_seed(seed), say=lambda _: None)
        if seed == settled:
            before, tensors, files = resident_bytes(), live_tensors(), open_files()
    grown = (resident_bytes() - before) / MIB
    assert open_files() <= files
    assert live_tensors() <= tensors
    # In a few runs the allocator's own growth hides any leak.
    assert grown < TOLERATED_MIB or runs < 500
    tally("queued runs in one process, done without growth of memory", runs, runs)
