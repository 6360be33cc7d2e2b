"""A fault in training is noticed in its epoch, with its layer; sound epochs are kept."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ttq_repro.errors import TrainingError, UserError
from ttq_repro.quantizers import TTQ
from ttq_repro.runs.execute import execute
from ttq_repro.runs.run import Run
from ttq_repro.runs.workspace import Workspace
from ttq_repro.training.watch import Watch

MakeRun = Callable[..., Run]
STOPPED = r"^epoch {}: the training loss is .*; \S+ holds NaN or infinite values"


def poison(monkeypatch: pytest.MonkeyPatch, in_epoch: int, value: float) -> None:
    """Set a weight of the last layer to ``value`` as one epoch starts."""

    def hook(_: TTQ, latent: Tensor, epoch: int, __: int) -> None:
        if epoch == in_epoch and len(latent) == 10:
            latent[0, 0] = value

    monkeypatch.setattr(TTQ, "on_epoch_start", hook)


def test_weights_that_are_infinite_stop_the_run(
    tiny_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, in_epoch=0, value=float("inf"))
    with pytest.raises(TrainingError, match=STOPPED.format(1) + "$"):
        execute(tiny_run("quantizer=ttq", "recipe.batch_size=300"))


def test_the_epochs_before_one_with_nan_are_kept(
    tiny_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny_run("quantizer=ttq", "recipe.epochs=3")
    with monkeypatch.context() as patch:
        poison(patch, in_epoch=1, value=float("nan"))
        with pytest.raises(
            TrainingError, match=STOPPED.format(2) + r"\. The checkpoint of the previous epoch"
        ):
            execute(run)
    workspace = Workspace.of(run.config)
    assert not workspace.record(run).exists()
    assert workspace.resume_checkpoint(run).is_file()
    resumed = execute(run)
    assert len(resumed.metrics["train_loss"]) == 3
    again = Run(run.config | {"workspace": run.config["workspace"] + "/again"})
    assert resumed.weights_sha256 == execute(again).weights_sha256


def test_a_scale_that_is_not_positive_is_named(tiny_run: MakeRun) -> None:
    overrides = ("quantizer=ttq", "quantizer.init=-0.5", "recipe.optimizer.lr=1e-9",
                 "recipe.schedule.max_lr=1e-9", "recipe.epochs=2")  # fmt: skip
    said: list[str] = []
    run = tiny_run(*overrides)
    record = execute(run, say=said.append)
    layers = [decision["layer"] for decision in record.decisions if decision["quantize"]]
    assert len(record.warnings) == 2 * len(layers), "each scale once, not in every epoch"
    assert f"epoch 1: {layers[0]}: positive_scale is -0.5" in record.warnings
    assert [f"{run.name}: warning: {w}" for w in record.warnings] == [
        line for line in said if "warning" in line
    ]
    with pytest.raises(
        TrainingError, match=r"^epoch 1: blocks\.0\.conv1: positive_scale is -0\.5$"
    ):
        execute(tiny_run(*overrides, "trainer.degenerate=stop", "seed=2"))


def test_a_layer_of_zeros_is_named(tiny_run: MakeRun) -> None:
    overrides = ("quantizer=twn", "quantizer.factor=50", "recipe.epochs=1")
    record = execute(tiny_run(*overrides))
    assert "epoch 1: linear: all weights are zero" in record.warnings


def test_a_sound_run_warns_of_nothing(tiny_run: MakeRun) -> None:
    record = execute(tiny_run("quantizer=twn", "recipe.epochs=1"))
    assert record.warnings == []


def test_an_unknown_reaction_is_named(tiny_run: MakeRun) -> None:
    with pytest.raises(UserError, match=r"trainer\.degenerate=ignore: must be one of stop, warn"):
        execute(tiny_run("trainer.degenerate=ignore"))


def test_what_was_warned_of_before_a_resume_stays() -> None:
    said: list[str] = []
    before, after = Watch("warn", said.append), Watch("warn", said.append)
    before.warn("epoch 1: a scale", topic="scale")
    before.warn("no compiler")
    after.load_state_dict(before.state_dict())
    after.warn("epoch 2: a scale", topic="scale")
    assert said == ["warning: epoch 1: a scale", "warning: no compiler"]
    after.warn("no graph")
    assert list(after.warnings.values()) == ["epoch 1: a scale", "no compiler", "no graph"]


def test_filters_count_one_by_one(tiny_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean over filters, which the record keeps, would hide one bad scale."""

    def spoil(quantizer: TTQ, latent: Tensor) -> None:
        if len(latent) == 10:
            with torch.no_grad():
                quantizer.negative_scale[3] = -100

    monkeypatch.setattr(TTQ, "after_step", spoil)
    run = tiny_run("quantizer=ttq", "+quantizer.granularity=filter", "recipe.epochs=1")
    assert "epoch 1: linear: negative_scale is -100" in execute(run).warnings
