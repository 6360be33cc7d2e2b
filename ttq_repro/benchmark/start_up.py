"""The time from the start of a Python process to the end of its first training step."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from ttq_repro.benchmark.images import random_source
from ttq_repro.runs.config import Config
from ttq_repro.training.fit import fit
from ttq_repro.workers import in_new_process


def seconds_to_first_step(config: Config, cache: Path) -> float:
    """Start a run in a new process and time it until its first step is done.

    Args:
        cache: folder for compiled code.
    """
    started = time.monotonic()  # This clock is the same in all processes.
    return in_new_process(_first_step, config, cache, torch.get_num_threads()) - started


class _FirstStepError(Exception):
    """Ends a run at the end of its first step, at the time it holds."""


class _FirstStep(pl.Callback):
    def on_train_batch_end(self, *_: Any) -> None:
        raise _FirstStepError(time.monotonic())


def _first_step(config: Config, cache: Path, threads: int) -> float:
    torch.set_num_threads(threads)
    # Inductor reads this when it compiles.
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(cache)
    try:
        fit(
            config,
            random_source(config, steps=2),
            None,
            checkpoint=cache / "last.ckpt",
            loggers=[],
            say=print,
            observers=[_FirstStep()],
        )
    except _FirstStepError as ended:
        return ended.args[0]
    raise AssertionError("a run has a step")
