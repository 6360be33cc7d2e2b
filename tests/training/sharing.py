"""What each of two processes that train together does."""

from __future__ import annotations

import os
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import ttq_repro.data.array_source
import ttq_repro.training.graphed
from tests.conftest import TINY
from ttq_repro.data.array_source import ArraySource
from ttq_repro.data.arrays import ImageArrays
from ttq_repro.data.digits import load_digits
from ttq_repro.data.shard import Shard
from ttq_repro.runs.config import Config, compose_config
from ttq_repro.training.fit import Fitted
from ttq_repro.training.module import Classifier
from ttq_repro.training.network import build_network

WORLD = 2
#: A method that samples its weights in every step (for tests it does not), and one that learns from
#: a teacher.
SAMPLED = "ternary_connect quantizer.stochastic=true"
DISTILLED = "ttq distillation={weight:0.9,temperature:4}"
METHODS = ("full_precision", "ttq", SAMPLED, DISTILLED, "ttq reestimate_batch_norm=2")
# An epoch's last training batch is too small to divide, and the one before divides unevenly.
TRAIN, BATCH, TEST, TEST_BATCH = 53, 25, 33, 10


def config_of(method: str) -> Config:
    """The config of a method: a quantizer, and further overrides after spaces."""
    gentle = ["recipe.schedule.max_lr=0.02", f"recipe.batch_size={BATCH}"]
    return compose_config("train", [*TINY, *gentle, *f"quantizer={method}".split()])


def few_digits() -> ArraySource:
    digits = load_digits()
    few = ImageArrays(
        digits.name,
        digits.train_images[:TRAIN],
        digits.train_labels[:TRAIN],
        digits.test_images[:TEST],
        digits.test_labels[:TEST],
        digits.classes,
        digits.source,
    )
    return ArraySource(few, pad=4, flip=False)


def parent_of(config: Config) -> dict[str, Tensor] | None:
    """Weights to start and to learn from if the method is distilled; others start from random."""
    return build_network(config, None).state_dict() if config["distillation"] else None


def trained(config: Config, folder: Path, **options: Any) -> Fitted:
    """Train silently on few digits, with the checkpoint in ``folder``; ``options`` go to fit."""
    return ttq_repro.training.fit.fit(
        config,
        few_digits(),
        parent_of(config),
        checkpoint=folder / "last.ckpt",
        loggers=[],
        say=lambda _: None,
        **options,
    )


def gradients_of(network: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.grad.clone() for name, parameter in network.named_parameters()}


class Recorded(Classifier):
    """Keeps the loss, the number of wrong answers and the gradients of every step."""

    steps: list[dict[str, Any]]

    def loss_of(self, inputs: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        loss = super().loss_of(inputs, logits, labels)
        right = logits.argmax(1) == labels[self.shard.of(len(labels))]
        self.steps.append({"loss": loss.item(), "wrong": (~right).sum().item()})
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        super().on_before_optimizer_step(optimizer)
        self.steps[-1]["gradients"] = gradients_of(self.network)


def train_shard(folder: Path, _: Connection) -> None:
    """Train this process's shard with each method, and save to ``folder`` what it has seen."""
    ttq_repro.data.array_source.TEST_BATCH = TEST_BATCH
    ttq_repro.training.graphed.Classifier = Recorded
    shard = Shard(int(os.environ["LOCAL_RANK"]), WORLD)
    for method in METHODS:
        Recorded.steps = []
        fitted = trained(config_of(method), folder / method, shard=shard)
        kept = {
            "steps": Recorded.steps,
            "state": fitted.network.state_dict(),
            "history": fitted.history,
            "correct": torch.from_numpy(fitted.correct),
        }
        torch.save(kept, folder / f"{method}-{shard.rank}")
