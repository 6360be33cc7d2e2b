"""Runs of a tiny network on digits, from config to record."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file, save_file
from torch import nn

from tests.conftest import FEW_TESTED
from ttq_repro.data.array_source import ArraySource
from ttq_repro.errors import UserError
from ttq_repro.files import sha256
from ttq_repro.quantizers import Quantizer, straight_through
from ttq_repro.runs.check import check_run
from ttq_repro.runs.config import compose_config
from ttq_repro.runs.execute import execute
from ttq_repro.runs.record import Record
from ttq_repro.runs.run import Run
from ttq_repro.runs.workspace import Workspace

MakeRun = Callable[..., Run]


def test_a_child_trains_from_its_parent_and_leaves_a_record(tiny_run: MakeRun) -> None:
    run = tiny_run("quantizer=ttq", "parent=auto", "logger.csv=true")
    workspace = Workspace.of(run.config)
    record = execute(run)
    assert Record.read(workspace.record(run)) == record

    parent_weights = workspace.weights(run.parent)
    assert record.parent == {
        "identity": run.parent.identity,
        "weights_sha256": sha256(parent_weights),
    }
    assert record.weights_sha256 == sha256(workspace.weights(run))

    assert set(record.metrics) == {
        "train_loss", "train_error", "test_loss", "test_error", "learning_rate", "seconds",
            "sparsity",
    }  # fmt: skip
    assert {len(values) for values in record.metrics.values()} == {2}
    assert len(record.layers) == 7
    for layer in record.layers.values():
        shares = [layer[sign][-1] for sign in ("negative", "zero", "positive")]
        assert sum(shares) == pytest.approx(1, abs=1e-4)
        assert layer["positive_scale"][-1] != 1
    assert [d["layer"] for d in record.decisions if not d["quantize"]] == ["stem.0"]

    correct = record.correct_images()
    assert len(correct) == record.test_images == FEW_TESTED
    assert 1 - correct.mean() == pytest.approx(record.test_error["final"], abs=1e-5)
    assert record.test_error["best"] == min(record.metrics["test_error"])
    assert not workspace.resume_checkpoint(run).exists()
    (csv,) = workspace.scratch(run).glob("csv/*/metrics.csv")
    header = csv.read_text().splitlines()[0].split(",")
    assert {"train_loss", "test_error", "linear/positive_scale", "linear/zero"} <= set(header)


def test_the_child_starts_from_the_parents_weights(tiny_run: MakeRun) -> None:
    still = ["recipe.optimizer.lr=0", "recipe.schedule.max_lr=1e-12", "recipe.epochs=1"]
    run = tiny_run("quantizer=ttq", "parent=auto", *still)
    execute(run)
    workspace = Workspace.of(run.config)
    parent = load_file(workspace.weights(run.parent))
    child = load_file(workspace.weights(run))
    latent = child["linear.parametrizations.weight.original"]
    torch.testing.assert_close(latent, parent["linear.weight"])


def test_a_child_sees_other_views_of_the_images_than_its_parent_of_the_same_seed(
    tiny_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    views, original = [], ArraySource.train_loader

    def train_loader(source: ArraySource, batch_size: int, seed: int, *rest: Any) -> Any:
        loader = original(source, batch_size, seed, *rest)
        views.append(next(iter(loader))[0])
        return loader

    monkeypatch.setattr(ArraySource, "train_loader", train_loader)
    for seed in (1, 2):
        execute(tiny_run("quantizer=ttq", "parent=auto", f"seed={seed}"))
    assert len(views) == 4
    for one, other in combinations(views, 2):
        assert not torch.equal(one, other)


def test_a_record_keeps_the_weights_before_and_after(tiny_run: MakeRun) -> None:
    run = tiny_run("quantizer=ttq", "parent=auto")
    record = execute(run)
    sizes = {d["layer"]: d["weights"] for d in record.decisions}
    assert list(record.histograms) == [d["layer"] for d in record.decisions if d["quantize"]]
    for name, layer in record.histograms.items():
        before, after = layer["before"], layer["after"]
        assert sum(before["counts"]) == sum(after["counts"]) == sizes[name]
        assert before["positive_scale"] == before["negative_scale"] == 1
        final = {quantity: values[-1] for quantity, values in record.layers[name].items()}
        assert {key: after[key] for key in final} == final
    parent = load_file(Workspace.of(run.config).weights(run.parent))["linear.weight"]
    counts = torch.histc(parent, 80, -parent.abs().max(), parent.abs().max()).int().tolist()
    assert record.histograms["linear"]["before"]["counts"] == counts
    assert record.sparsity() is not None


def test_a_finished_run_is_not_trained_again(
    tiny_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny_run("recipe.epochs=1")
    first = execute(run)
    monkeypatch.setattr("ttq_repro.runs.train.fit", None)
    assert execute(run) == first


def test_a_missing_parent_is_an_error_that_says_how_to_get_it(tiny_run: MakeRun) -> None:
    run = tiny_run("quantizer=ttq", "parent=auto", "train_parent=false")
    with pytest.raises(UserError, match=r"parent resnet20-full_precision-smoke.*train_parent=true"):
        execute(run)


def test_a_parent_that_is_another_network_is_named(tiny_run: MakeRun, tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    run = tiny_run("quantizer=ttq", f"parent={tmp_path / 'other.safetensors'}")
    with pytest.raises(UserError, match=r"^the parent's weights do not fit a float resnet20$"):
        execute(run)


class Mine(nn.Sequential):
    """A model of a user's own."""

    def __init__(self, num_classes: int) -> None:
        convolutions = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU()]
        super().__init__(*convolutions, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.append(nn.Linear(4, num_classes))


class Features(Mine):
    """A network whose head was forgotten."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        del self[-1]


class Deep(Mine):
    """A network for larger images."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.insert(0, nn.MaxPool2d(64))


class Flat(Mine):
    """A network that normalizes vectors where it has images."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.insert(0, nn.BatchNorm1d(3))


class Auxiliary(nn.Sequential):
    """In training, also returns the logits of an auxiliary classifier, as GoogLeNet does."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, num_classes))

    def forward(self, x: torch.Tensor) -> Any:
        logits = super().forward(x)
        return (logits, logits) if self.training else logits


def not_a_module(num_classes: int) -> list[int]:
    """No network at all."""
    return [num_classes]


def test_a_model_of_ones_own_trains(tiny_run: MakeRun) -> None:
    mine = ["model.name=mine", f"model._target_={__name__}.Mine", "~model.depth"]
    record = execute(tiny_run(*mine, "~model.preactivation", "quantizer=ttq"))
    assert record.identity.startswith("mine-ttq-")
    assert set(record.layers) == {"2", "6"}


class Sign(Quantizer):
    """A quantizer of a user's own, without codes."""

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        return straight_through(latent.abs().mean() * latent.sign(), latent)


def test_a_quantizer_of_ones_own_trains(tiny_run: MakeRun) -> None:
    mine = ["quantizer.name=mine", f"quantizer._target_={__name__}.Sign", "recipe.epochs=1"]
    record = execute(tiny_run(*mine))
    assert record.identity.startswith("resnet20-mine-smoke-")
    assert sum(decision["quantize"] for decision in record.decisions) == 7
    assert record.layers == {}


@pytest.mark.parametrize(
    ("unsuited", "why"),
    [
        ("Features", "for one image it returns an output of shape (1, 4), not (1, 10)"),
        ("Deep", "it cannot take images of 32 x 32: "),
        ("Flat", "it cannot take images of 32 x 32: ValueError: expected 2D or 3D input"),
        ("Auxiliary", "for 2 images in training it returns a tuple, not (2, 10)"),
        ("not_a_module", "a list is no torch.nn.Module"),
    ],
)
def test_a_model_that_does_not_suit_its_images_is_named(
    unsuited: str, why: str, tiny_run: MakeRun
) -> None:
    mine = ["model.name=mine", f"model._target_={__name__}.{unsuited}", "~model.depth"]
    with pytest.raises(UserError, match=f"^model: {re.escape(why)}"):
        execute(tiny_run(*mine, "~model.preactivation"))


def test_a_batch_too_small_for_batch_norm_is_named(tiny_run: MakeRun) -> None:
    """ResNets normalize many pixels of an image; AlexNet-BN also normalizes single numbers."""
    photographs = ["model=alexnet_bn", "data=imagenette", "recipe=short_alexnet"]
    config = compose_config("train", [*photographs, "recipe.batch_size=1"])
    with pytest.raises(UserError, match=r"^recipe\.batch_size=1: Expected more than 1 value per"):
        check_run(Run(config))
    check_run(tiny_run("recipe.batch_size=1"))


def test_an_option_that_is_none_is_found_before_the_parent_is_trained(tiny_run: MakeRun) -> None:
    said: list[str] = []
    run = tiny_run("quantizer=ttq_sparsity", "quantizer.sparsity=1.5", "parent=auto")
    with pytest.raises(UserError, match=r"^quantizer ttq_sparsity: sparsity must lie in \[0, 1\)"):
        execute(run, say=said.append)
    assert not said


TEACHER = "distillation={weight: 0.5, temperature: 0}"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("recipe.epochs=0", r"recipe\.epochs=0: must be a whole number from 1"),
        ("recipe.epochs=1.5", r"recipe\.epochs=1\.5: must be a whole number from 1"),
        ("recipe.batch_size=0", r"recipe\.batch_size=0: must be a whole number from 1"),
        ("+recipe.decay=conv", r"recipe\.decay=conv: must be one of all, linear"),
        ("+recipe.foo=1", r"recipe: got an unexpected keyword argument 'foo'"),
        ("+recipe.optimizer.foo=1", r"recipe smoke: .*unexpected keyword argument 'foo'"),
        ("model.depth=21", r"model: depth must be"),
        ("+policy.x=1", r"policy: .*unexpected keyword argument 'x'"),
        ("trainer.compile=never", r"trainer\.compile=never: must be one of True, False, auto"),
        (
            "trainer.accelerator=tpu",
            r"trainer\.accelerator=tpu: no such device; choose from auto, ",
        ),
        ("trainer.workers=-1", r"trainer\.workers=-1: must be a whole number from 0"),
        ("data.pad=-1", r"data\.pad=-1: must be a whole number from 0"),
        ("quantizer._target_=foo.Bar", r"quantizer: Error loading 'foo\.Bar': ModuleNotFoundError"),
        ("model._target_=foo.Bar", r"model: Error loading 'foo\.Bar': ModuleNotFoundError"),
        ("recipe.optimizer._target_=foo.Bar", r"recipe\.optimizer: Error loading 'foo\.Bar': "),
        ("recipe.schedule._target_=foo.Bar", r"recipe\.schedule: Error loading 'foo\.Bar': "),
        ("recipe.schedule._target_=torch.optim.SGD", "recipe smoke: SGD.*unexpected keyword"),
        ("recipe.schedule=cosine", r"recipe\.schedule=cosine: must name a class as its _target_"),
        ("~recipe.schedule.max_lr", "recipe: there is no 'max_lr'"),
        ("recipe.optimizer.lr=null", r"recipe\.optimizer\.lr=None: must be a number, got None"),
        ("logger.wandb=of", r"logger\.wandb=of: must be one of offline, online, disabled"),
        ("recipe.optimizer.lr=-1", "recipe.optimizer.lr=-1: must not be negative"),
        ("recipe.schedule.max_lr=-1", "recipe.schedule.max_lr=-1: must not be negative"),
        (TEACHER, "distillation: temperature must be above 0, got 0"),
    ],
)
def test_what_no_run_can_have_is_named_before_its_parent_is_trained(
    override: str, said: str, tiny_run: MakeRun
) -> None:
    told: list[str] = []
    with pytest.raises(UserError, match=f"^{said}") as refused:
        execute(tiny_run("quantizer=ttq", "parent=auto", override), say=told.append)
    assert len(str(refused.value).splitlines()) == 1
    assert not told


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (["ReduceLROnPlateau"], "recipe.schedule: ReduceLROnPlateau follows an error on the test"),
        (["StepLR", "+recipe.schedule.step_size=0"], "recipe.schedule: integer modulo by zero"),
    ],
)
def test_a_schedule_that_cannot_be_is_named_before_the_parent_is_trained(
    schedule: list[str], said: str, tiny_run: MakeRun
) -> None:
    name, *options = schedule
    of_one_cycle = ("max_lr", "pct_start", "anneal_strategy", "cycle_momentum")
    overrides = [
        f"recipe.schedule._target_=torch.optim.lr_scheduler.{name}",
        *(f"~recipe.schedule.{option}" for option in of_one_cycle),
        *options,
    ]
    told: list[str] = []
    with pytest.raises(UserError, match=f"^{re.escape(said)}"):
        execute(tiny_run("quantizer=ttq", "parent=auto", *overrides), say=told.append)
    assert not told


def test_a_record_discloses_those_whose_place_it_took(tiny_run: MakeRun) -> None:
    """A child needs weights, and those of the earlier runs are missing, as on another machine."""
    run = tiny_run("recipe.epochs=1")
    weights = Workspace.of(run.config).weights(run)
    first = execute(run)
    assert "replaces" not in first.provenance
    told: list[str] = []
    for _ in range(2):
        weights.unlink()
        last = execute(run, weights_too=True, say=told.append)
    kept = {key: first.provenance.get(key) for key in ("finished", "commit", "device")}
    kept |= {"weights_sha256": first.weights_sha256, "final": first.test_error["final"]}
    assert [one | {"finished": kept["finished"]} for one in last.provenance["replaces"]] == [
        kept
    ] * 2
    error = f"{100 * first.test_error['final']:.2f}%"
    warned = [line for line in told if line.startswith("warning: ")]
    assert len(warned) == 2
    assert all(f"{weights} is missing" in line and error in line for line in warned)
    assert told.index(warned[0]) < next(i for i, line in enumerate(told) if "1 epoch on" in line)


def test_a_record_keeps_no_path_of_the_machine(tiny_run: MakeRun, tmp_path: Path) -> None:
    run = tiny_run("recipe.epochs=1", f"data.root={tmp_path}")
    execute(run)
    assert str(tmp_path) not in Workspace.of(run.config).record(run).read_text()


@pytest.mark.parametrize("what", ["record", "weights"])
def test_a_place_that_cannot_take_the_result_is_named_before_training(
    what: str, tiny_run: MakeRun
) -> None:
    run, said = tiny_run(), list[str]()
    path: Path = getattr(Workspace.of(run.config), what)(run)
    path.mkdir(parents=True)
    with pytest.raises(UserError, match=rf"^{path}: Is a directory$"):
        execute(run, say=said.append)
    assert said == []
    path.rmdir()
    path.parent.rmdir()
    path.parent.touch()
    with pytest.raises(UserError, match=rf"^{path}: Not a directory$"):
        execute(run, say=said.append)
    assert said == []


def test_who_waits_for_another_process_is_told(tiny_run: MakeRun) -> None:
    run = tiny_run("recipe.epochs=1")
    lock = Workspace.of(run.config).lock(run)
    lock.parent.mkdir(parents=True)
    said: list[str] = []
    other = FileLock(lock, thread_local=False)
    other.acquire()

    def say(line: str) -> None:
        said.append(line)
        if line.endswith("waiting"):
            other.release()

    execute(run, say=say)
    assert said[0] == f"{run.name}: another process is training it; waiting"


def test_same_seed_same_network(tiny_run: MakeRun, tmp_path: Path) -> None:
    run = tiny_run("quantizer=ttq")
    again = Run(run.config | {"workspace": str(tmp_path / "again")})
    first, second = execute(run), execute(again)
    assert first.weights_sha256 == second.weights_sha256
    assert first.metrics["test_loss"] == second.metrics["test_loss"]
    other = execute(run.with_seed(2))
    assert other.weights_sha256 != first.weights_sha256
