"""Memory and time of a training step against batch size and depth."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch

from ttq_repro.benchmark.images import random_source
from ttq_repro.benchmark.loops import bare
from ttq_repro.runs.config import Config
from ttq_repro.workers import in_new_process

STEPS = 5


class Cost(NamedTuple):
    """Of a training step."""

    megabytes: float
    seconds: float


def cost_of_a_step(config: Config) -> Cost:
    """Take a few steps in a new process, uncompiled, as compiling needs memory of its own.

    The memory is the most that these steps take at a time, network, optimizer and all; a process
    cannot measure it a second time.
    """
    return in_new_process(_steps, config, torch.get_num_threads())


def _steps(config: Config, threads: int, sender: Any) -> None:
    torch.set_num_threads(threads)
    source = random_source(config)
    before = _memory("VmRSS")
    seconds: list[float] = []
    loop = bare(config, source, steps=1)
    next(loop)
    for _ in range(STEPS):
        started = time.perf_counter()
        next(loop)
        seconds.append(time.perf_counter() - started)
    if torch.cuda.is_initialized():
        peak = torch.cuda.max_memory_allocated()
    else:
        # Not getrusage's, which begins with what the process held that started this one.
        peak = _memory("VmHWM") - before
    sender.send(Cost(peak / 1e6, median(seconds)))


def _memory(key: str) -> int:
    """Bytes that this process holds now, ``VmRSS``, or has held at most, ``VmHWM``."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition(f"{key}:")[2].split()[0])
