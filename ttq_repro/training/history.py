"""The metrics of a run so far."""

from __future__ import annotations

import time
from typing import Any, cast

import pytorch_lightning as pl
import torch

from ttq_repro.training.module import Classifier

#: Key of an epoch's duration, the one metric that loggers do not get.
SECONDS = "seconds"


class History(pl.Callback):
    """Collects every metric logged at the end of an epoch, and the seconds that each epoch took.

    Its state is saved in the checkpoint, so that a resumed run keeps its earlier epochs, even if it
    was killed after the last one.

    Args:
        steps: steps per epoch.
        origin: provenance of the training that starts now.
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
        """Periods of training in order: origin, epochs, seconds. Each resume begins a new one."""
        epochs = len(self.metrics.get(SECONDS, [])) - sum(one["epochs"] for one in self._earlier)
        seconds = round(time.perf_counter() - self._began, 1)
        return [*self._earlier, {**self._origin, "epochs": epochs, "seconds": seconds}]

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Log a resumed run's earlier epochs again, to the loggers that start a new log."""
        columns = {name: values for name, values in self.metrics.items() if name != SECONDS}
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        for logger in trainer.loggers:
            if getattr(getattr(logger, "experiment", None), "resumed", False):
                continue  # wandb's server already has them.
            for epoch, row in enumerate(rows):
                # At the last step of the epoch, as Lightning does.
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
