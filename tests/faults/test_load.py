"""Many runs in one process: no growth of memory, no file left open."""

from __future__ import annotations

import gc
import resource
from collections.abc import Callable
from pathlib import Path

from tests.faults.conftest import Count, Tally
from ttq_repro.runs.execute import execute
from ttq_repro.runs.run import Run

MIB = 2**20
#: Growth that a leak of one network (1 MiB with its optimizer) a run would exceed.
TOLERATED_MIB = {"quick": 8, "soak": 100}


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_many_runs_in_a_row(tiny_run: Callable[..., Run], count: Count, tally: Tally) -> None:
    runs, settled = count(6, 500), count(2, 50)
    first = tiny_run("quantizer=ttq", "recipe.epochs=1", "recipe.batch_size=512")
    before = files = 0
    for seed in range(runs):
        execute(first.with_seed(seed), say=lambda _: None)
        if seed == settled:
            before, files = resident_bytes(), open_files()
    grown = (resident_bytes() - before) / MIB
    assert open_files() <= files
    tally("queued runs in one process, done without growth of memory", runs, runs)
    assert grown < TOLERATED_MIB["quick" if runs < 500 else "soak"]
