"""A training step uses the memory that the step before has freed."""

from __future__ import annotations

import ctypes
import resource
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from tests.conftest import TINY
from ttq_repro.data.array_source import ArraySource
from ttq_repro.data.digits import load_digits
from ttq_repro.runs.config import compose_config
from ttq_repro.training.fit import fit
from ttq_repro.workers import in_new_process

#: Full batches in an epoch of the digits.
BATCH, STEPS = 200, 7


class PageFaults(pl.Callback):
    """Counts the pages of memory that the system hands out in each step of full batches."""

    def __init__(self) -> None:
        self.by_step: list[int] = []

    def on_train_batch_start(self, *_: Any) -> None:
        self._before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if not trainer.is_last_batch:
            after = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            self.by_step.append(after - self._before)


def page_faults(folder: Path) -> list[int]:
    """The page faults of each step of a small run."""
    torch.set_num_threads(1)
    faults = PageFaults()
    fit(
        compose_config("train", [*TINY, f"recipe.batch_size={BATCH}", "recipe.epochs=4"]),
        ArraySource(load_digits(), pad=0, flip=False),
        None,
        checkpoint=folder / "last.ckpt",
        loggers=[],
        say=lambda _: None,
        observers=[faults],
    )
    return faults.by_step


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc's malloc")
def test_a_step_uses_the_memory_of_the_step_before(tmp_path: Path) -> None:
    # A new process, as earlier tests have trained in this one.
    by_step = in_new_process(page_faults, tmp_path)
    epochs = [sum(by_step[start : start + STEPS]) for start in range(0, len(by_step), STEPS)]
    # Now and then, an epoch still gets a few large blocks anew.
    assert min(epochs[1:]) < by_step[0] / 5
