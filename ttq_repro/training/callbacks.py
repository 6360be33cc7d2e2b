"""What happens around training: the history of all metrics, and checkpoints that survive a kill."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from ttq_repro.files import write_atomically


class History(pl.Callback):
    """Collects every metric logged at an epoch's end, and the seconds that each epoch took.

    Its state travels in the checkpoint, so a resumed run keeps its past.
    """

    def __init__(self) -> None:
        self.metrics: dict[str, list[float]] = {}

    def on_train_epoch_start(self, *_: Any) -> None:
        self._started = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        row = {name: value.item() for name, value in trainer.callback_metrics.items()}
        row["seconds"] = time.perf_counter() - self._started
        for name, value in row.items():
            self.metrics.setdefault(name, []).append(float(f"{value:.6g}"))

    def state_dict(self) -> dict[str, Any]:
        return {"metrics": self.metrics}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.metrics = state["metrics"]


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints whole or not at all."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_atomically(Path(path), buffer.getbuffer())
