"""Memory and time of a training step, by batch size and depth."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch

from ttq_repro.benchmark.images import random_source
from ttq_repro.benchmark.loops import bare
from ttq_repro.runs.config import Config
from ttq_repro.training.device import device_of
from ttq_repro.workers import in_new_process

STEPS = 5


class Cost(NamedTuple):
    """Memory and time of a training step."""

    megabytes: float
    seconds: float


def cost_of_a_step(config: Config) -> Cost:
    """Take a few steps in a new process.

    The memory is the peak that network, optimizer and steps, with one batch of data, add to what
    the process held before. The config should turn compiling off, as it takes memory, too.
    """
    return in_new_process(_steps, config, torch.get_num_threads())


def _steps(config: Config, threads: int) -> Cost:
    torch.set_num_threads(threads)
    device = device_of(config["trainer"]["accelerator"])
    source = random_source(config, steps=1)
    # Reset the peak to what is held now. The peak of getrusage would include that of the process
    # that started this one.
    Path("/proc/self/clear_refs").write_text("5")
    before = _memory("VmRSS")
    loop = bare(config, source)
    next(loop)
    seconds = median(next(loop) for _ in range(STEPS))
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device)
    else:
        peak = _memory("VmHWM") - before
    return Cost(peak / 1e6, seconds)


def _memory(key: str) -> int:
    """Bytes that this process holds now (``VmRSS``) or has held at most (``VmHWM``)."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition(f"{key}:")[2].split()[0])
