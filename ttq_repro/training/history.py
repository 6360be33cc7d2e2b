"""What a run has measured so far."""

from __future__ import annotations

import time
from typing import Any, cast

import pytorch_lightning as pl
import torch

from ttq_repro.training.module import Classifier

#: Of an epoch, what no logger is told.
SECONDS = "seconds"


class History(pl.Callback):
    """Collects every metric logged at an epoch's end, and the seconds that each epoch took.

    Its state travels in the checkpoint, so a resumed run keeps its past, even one that was killed
    after its last epoch.

    Args:
        steps: those of an epoch.
        origin: what is to be known of who trains now.
    """

    def __init__(self, steps: int, origin: dict[str, Any]) -> None:
        self._steps, self._origin = steps, origin
        self._earlier: list[dict[str, Any]] = []
        self._began = time.perf_counter()
        self.metrics: dict[str, list[float]] = {}
        #: Which test images the network got right at the end of the last epoch.
        self.correct = torch.empty(0, dtype=torch.bool)

    @property
    def stints(self) -> list[dict[str, Any]]:
        """Who trained the run, from first to last: origin, epochs, seconds. A resume begins one."""
        epochs = len(self.metrics.get(SECONDS, [])) - sum(one["epochs"] for one in self._earlier)
        seconds = round(time.perf_counter() - self._began, 1)
        return [*self._earlier, {**self._origin, "epochs": epochs, "seconds": seconds}]

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Tell the loggers of a resumed run its past, which the log that begins here would lack."""
        columns = {name: values for name, values in self.metrics.items() if name != SECONDS}
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        for logger in trainer.loggers:
            if getattr(getattr(logger, "experiment", None), "resumed", False):
                continue  # wandb's server has it already.
            for epoch, row in enumerate(rows):
                # As Lightning logs it, under the last step of the epoch.
                logger.log_metrics(row | {"epoch": epoch}, (epoch + 1) * self._steps - 1)

    def on_train_epoch_start(self, *_: Any) -> None:
        self._started = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.correct = cast(Classifier, module).correct
        row = {name: value.item() for name, value in trainer.callback_metrics.items()}
        row[SECONDS] = time.perf_counter() - self._started
        for name, value in row.items():
            self.metrics.setdefault(name, []).append(float(f"{value:.6g}"))

    def state_dict(self) -> dict[str, Any]:
        return {"metrics": self.metrics, "correct": self.correct, "stints": self.stints}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.metrics = state["metrics"]
        self.correct = state["correct"]
        self._earlier = state["stints"]
