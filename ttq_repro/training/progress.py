"""Progress of a run: a bar on a terminal, a line per epoch elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
from tqdm import tqdm

from ttq_repro.humanize import duration


class Progress(pl.Callback):
    """Shows epochs done and in total, the last test error, and the time left.

    Args:
        lines: whether to print lines even on a terminal, for several runs that share it.
        say: called with each line.
    """

    def __init__(self, *, lines: bool, say: Callable[[str], Any]) -> None:
        self._shows_bar = not lines and sys.stderr.isatty()
        self._say = say
        self._bar: tqdm[Any] | None = None

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._first, self._started = trainer.current_epoch, time.monotonic()
        if self._shows_bar:
            epochs, batches = _epochs(trainer), int(trainer.num_training_batches)
            self._bar = tqdm(
                total=epochs * batches,
                initial=self._first * batches,
                desc=f"epoch {self._first} of {epochs}",
                unit="batch",
                dynamic_ncols=True,
            )

    def on_train_batch_end(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.update()

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        done, epochs = trainer.current_epoch + 1, _epochs(trainer)
        error = 100 * trainer.callback_metrics["test_error"].item()
        state = f"epoch {done} of {epochs}, test error {error:.2f}%"
        if self._bar is not None:
            self._bar.set_description(state)
        elif done < epochs:  # The caller reports the result of the last epoch.
            pace = (time.monotonic() - self._started) / (done - self._first)
            self._say(f"{state}, {duration(pace * (epochs - done))} left")

    def on_train_end(self, *_: Any) -> None:
        self._close()

    def on_exception(self, *_: Any) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def _epochs(trainer: pl.Trainer) -> int:
    """Epochs of the run; all of our runs have a fixed number."""
    assert trainer.max_epochs is not None
    return trainer.max_epochs
