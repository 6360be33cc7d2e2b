"""The fast path (mixed bfloat16, compiled) against plain float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from tests.training.sharing import config_of, trained
from ttq_repro.runs.hardware import PRECISIONS
from ttq_repro.training.preflight import LIGHTNING_PRECISIONS

# Of logits, and so of the loss of the three images that end an epoch; larger batches average it.
ROUNDING = torch.finfo(torch.bfloat16).eps


class Steps(pl.Callback):
    """Keeps the loss and the labels of every step."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.labels: list[Tensor] = []

    def on_train_batch_end(self, *given: Any) -> None:
        _, _, outputs, (_, labels), _ = given
        self.losses.append(outputs["loss"].item())
        self.labels.append(labels)


def steps_of(method: str, folder: Path, **trainer: Any) -> Steps:
    config = config_of(method)
    config["trainer"] |= trainer
    # As low as when the cycle starts: the longer the steps, the sooner the two paths diverge.
    config["recipe"]["schedule"] |= {"max_lr": 1e-3}
    steps = Steps()
    trained(config, folder, observers=[steps])
    return steps


def test_lightning_knows_every_precision() -> None:
    assert LIGHTNING_PRECISIONS.keys() == set(PRECISIONS)


def test_float32_is_not_rounded_to_tf32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    trained(config_of("full_precision"), tmp_path)
    assert not torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("method", ["full_precision", "ttq"])
def test_the_same_images_give_the_same_losses(method: str, compiled: bool, tmp_path: Path) -> None:
    plain = steps_of(method, tmp_path / "plain", precision="fp32", compile=False)
    fast = steps_of(method, tmp_path / "fast", precision="bf16", compile=compiled)
    assert len(plain.labels) == len(fast.labels) == 6
    assert all(torch.equal(*pair) for pair in zip(plain.labels, fast.labels, strict=True))
    assert fast.losses == pytest.approx(plain.losses, rel=ROUNDING)
    assert fast.losses != plain.losses, "bfloat16 has been at work"
