"""Detects that a run has gone wrong, at the end of the epoch in which it happens."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytorch_lightning as pl
import torch

from ttq_repro.errors import TrainingError
from ttq_repro.training.module import Classifier

REACTIONS = ("stop", "warn")


class Watch(pl.Callback):
    """Stops a run whose loss or weights are not finite; stops or warns when a layer degenerates.

    Checking the loss is not enough: what the last step of an epoch spoils, no loss of that epoch
    shows, and a loss does not name the layer.

    A layer degenerates when one of its scales is not positive, or all of its weights are zero.
    The checks run after validation and before the epoch's checkpoint is written, so that the last
    checkpoint on disk is always sound.

    Args:
        reaction: to degenerate layers, ``"stop"`` or ``"warn"`` (once for each).
        say: called with each warning.
    """

    def __init__(self, reaction: str, say: Callable[[str], Any]) -> None:
        self.reaction = reaction
        self.say = say
        #: Every warning so far, by topic; kept across a resume.
        self.warnings: dict[str, str] = {}

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        epoch = f"epoch {trainer.current_epoch + 1}"
        kept = ". The checkpoint of the previous epoch is kept" if trainer.current_epoch else ""
        loss = trainer.callback_metrics["train_loss"].item()
        bad = _first_bad_parameter(module)
        if bad is not None or not math.isfinite(loss):
            where = f"{bad} holds NaN or infinite values" if bad else "all parameters are finite"
            raise TrainingError(f"{epoch}: the training loss is {loss:.4g}; {where}{kept}")
        for topic, finding in _degenerate(cast(Classifier, module)):
            message = f"{epoch}: {finding}"
            if self.reaction == "stop":
                raise TrainingError(f"{message}{kept}")
            self.warn(message, topic)

    def warn(self, message: str, topic: str | None = None) -> None:
        """Say ``message`` and keep it for the record, unless its topic already has a warning."""
        if topic not in self.warnings:
            self.warnings[topic or message] = message
            self.say(f"warning: {message}")

    def state_dict(self) -> dict[str, Any]:
        return {"warnings": self.warnings}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.warnings = state["warnings"] | self.warnings


def _first_bad_parameter(module: pl.LightningModule) -> str | None:
    for name, parameter in module.named_parameters():
        if not torch.isfinite(parameter).all():
            return name.removeprefix("network.").replace("parametrizations.weight.", "")
    return None


@torch.no_grad()
def _degenerate(module: Classifier) -> Iterator[tuple[str, str]]:
    """Yields (topic, sentence) for each sign that a layer has degenerated.

    If each filter has its own scale, the smallest counts.
    """
    for layer in module.quantized:
        codes, levels = layer.quantizer.codes(layer.latent), layer.quantizer.levels(layer.latent)
        if codes is None or levels is None:
            continue
        if levels.keys() <= {-1, 0, 1}:
            for scale, code in (("positive_scale", 1), ("negative_scale", -1)):
                smallest = (code * levels[code]).min().item()
                if not smallest > 0:
                    yield f"{layer.name}/{scale}", f"{layer.name}: {scale} is {smallest:.3g}"
        if not codes.any():
            yield f"{layer.name}/zero", f"{layer.name}: all weights are zero"
