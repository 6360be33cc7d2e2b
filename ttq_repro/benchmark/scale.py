"""Memory and time of a training step against batch size and depth."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch

from ttq_repro.benchmark.images import random_source
from ttq_repro.benchmark.loops import bare
from ttq_repro.runs.config import Config
from ttq_repro.training.device import device_of
from ttq_repro.workers import in_new_process

STEPS = 5


class Cost(NamedTuple):
    """Of a training step."""

    megabytes: float
    seconds: float


def cost_of_a_step(config: Config) -> Cost:
    """Take a few steps in a new process, uncompiled, as compiling needs memory of its own.

    The memory is the most that network, optimizer and steps take beside what the process held
    before; of data there is one batch.
    """
    return in_new_process(_steps, config, torch.get_num_threads())


def _steps(config: Config, threads: int, sender: Any) -> None:
    torch.set_num_threads(threads)
    device = device_of(config["trainer"]["accelerator"])
    source = random_source(config, steps=1)
    # The peak begins with what is held now. Not getrusage's, which has that of the process that
    # started this one.
    Path("/proc/self/clear_refs").write_text("5")
    before = _memory("VmRSS")
    loop = bare(config, source)
    next(loop)
    seconds = median(next(loop) for _ in range(STEPS))
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device)
    else:
        peak = _memory("VmHWM") - before
    sender.send(Cost(peak / 1e6, seconds))


def _memory(key: str) -> int:
    """Bytes that this process holds now, ``VmRSS``, or has held at most, ``VmHWM``."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition(f"{key}:")[2].split()[0])
