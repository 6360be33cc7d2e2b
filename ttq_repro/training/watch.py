"""Noticing, at the end of the epoch in which it happens, that a run has gone wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytorch_lightning as pl
import torch

from ttq_repro.errors import TrainingError
from ttq_repro.quantizers import quantized_layers

REACTIONS = ("stop", "warn")


class Watch(pl.Callback):
    """Stops a run whose loss is not finite; stops or warns when a layer degenerates.

    A layer degenerates when one of its scales is not positive, or all of its weights are zero.
    Checked after validation and before the epoch's checkpoint is written, so that the last one on
    disk is of a sound epoch.

    Args:
        reaction: what to do about degenerate layers, ``"stop"`` or ``"warn"``; each is warned
            about once.
        say: takes the warnings.
    """

    def __init__(self, reaction: str, say: Callable[[str], Any]) -> None:
        self.reaction = reaction
        self.say = say
        #: Every warning so far, by what it is about.
        self.warnings: dict[str, str] = {}

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        epoch = f"epoch {trainer.current_epoch + 1}"
        loss = trainer.callback_metrics["train_loss"].item()
        if not math.isfinite(loss):
            raise TrainingError(
                f"{epoch}: the training loss is {loss}; {_first_bad_weight(module)}. "
                "The checkpoint of the epoch before is kept"
            )
        for topic, finding in _degenerate(module):
            message = f"{epoch}: {finding}"
            if self.reaction == "stop":
                raise TrainingError(f"{message}. The checkpoint of the epoch before is kept")
            if topic not in self.warnings:
                self.warnings[topic] = message
                self.say(f"warning: {message}")

    def state_dict(self) -> dict[str, Any]:
        return {"warnings": self.warnings}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.warnings = state["warnings"]


def _first_bad_weight(module: pl.LightningModule) -> str:
    for name, parameter in module.named_parameters():
        if not torch.isfinite(parameter).all():
            layer = name.removeprefix("network.").replace("parametrizations.weight.", "")
            return f"the first parameter with NaN or infinite values is {layer}"
    return "all parameters are finite"


@torch.no_grad()
def _degenerate(module: pl.LightningModule) -> Iterator[tuple[str, str]]:
    """What is wrong with which layer: a topic to recognize it by, and a sentence.

    Of scales for each filter the smallest counts.
    """
    for layer in quantized_layers(module):
        name = layer.name.removeprefix("network.")
        codes, levels = layer.quantizer.codes(layer.latent), layer.quantizer.levels(layer.latent)
        if codes is None or levels is None:
            continue
        if levels.keys() <= {-1, 0, 1}:
            for scale, code in (("positive_scale", 1), ("negative_scale", -1)):
                smallest = (code * levels[code]).min().item()
                if not smallest > 0:
                    yield f"{name}/{scale}", f"{name}: {scale} is {smallest:.3g}"
        if not codes.any():
            yield f"{name}/zero", f"{name}: all weights are zero"
