"""Distillation from the parent: the loss against its equation, and runs that use it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.special import log_softmax, softmax
from torch import nn

from tests.conftest import TINY
from ttq_repro.errors import UserError
from ttq_repro.runs.config import compose_config
from ttq_repro.runs.execute import execute
from ttq_repro.runs.run import Run
from ttq_repro.runs.workspace import Workspace
from ttq_repro.training.distillation import Distillation
from ttq_repro.training.module import Classifier
from ttq_repro.training.network import build_network, distillation_from
from ttq_repro.training.optimization import Recipe
from ttq_repro.training.preflight import preflight

MakeRun = Callable[..., Run]
TAUGHT = "distillation={weight: 0.9, temperature: 4}"


@pytest.mark.parametrize(("weight", "temperature"), [(1.0, 1.0), (0.9, 4.0), (0.1, 0.5)])
def test_the_loss_is_its_equation(weight: float, temperature: float) -> None:
    generator = np.random.default_rng(0)
    student, taught = generator.normal(0, 3, (5, 4)), generator.normal(0, 3, (5, 4))
    labels = generator.integers(0, 4, 5)
    hard = -log_softmax(student, axis=1)[np.arange(5), labels].mean()
    p = softmax(taught / temperature, axis=1)
    of_both = log_softmax(taught / temperature, axis=1) - log_softmax(student / temperature, axis=1)
    expected = (1 - weight) * hard + weight * temperature**2 * (p * of_both).sum(1).mean()
    teacher = nn.Linear(4, 4, bias=False)
    nn.init.eye_(teacher.weight)
    distillation = Distillation(teacher.double(), weight=weight, temperature=temperature)
    logits = torch.from_numpy(student).requires_grad_()
    loss = distillation.loss(torch.from_numpy(taught), logits, torch.from_numpy(labels))
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    loss.backward()
    assert logits.grad is not None
    assert teacher.weight.grad is None


def test_a_student_that_equals_its_teacher_has_nothing_to_learn_from_it() -> None:
    teacher = nn.Linear(3, 4)
    inputs = torch.randn(6, 3)
    logits = teacher(inputs).detach().requires_grad_()
    labels = torch.zeros(6, dtype=torch.long)
    loss = Distillation(teacher, weight=1, temperature=4).loss(inputs, logits, labels)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(logits.grad, torch.zeros(6, 4), atol=1e-6, rtol=0)


def test_the_teacher_evaluates_and_stays_as_it_is() -> None:
    teacher = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 4)).train()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    distillation = Distillation(teacher, weight=0.5, temperature=4)
    distillation.loss(torch.randn(6, 3), torch.randn(6, 4), torch.zeros(6).long())
    assert not teacher.training
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    for name, value in teacher.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_the_teacher_is_the_parent() -> None:
    config = compose_config("train", [*TINY, TAUGHT])
    parent = build_network(config | {"seed": 2}, None)
    distillation = distillation_from(config, parent.state_dict())
    assert distillation is not None
    images = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(distillation.teacher(images), parent.eval()(images))


def test_the_teacher_sees_the_normalized_images() -> None:
    network, teacher = (nn.Sequential(nn.Flatten(), nn.Linear(48, 10)) for _ in range(2))
    seen: list[torch.Tensor] = []
    teacher.register_forward_pre_hook(lambda _, inputs: seen.extend(inputs))
    distillation = Distillation(teacher, weight=0.9, temperature=4)
    recipe = Recipe(**compose_config("train", TINY)["recipe"])
    mean, std = np.full(3, 0.5), np.full(3, 0.25)
    module = Classifier(network, recipe, mean, std, seed=1, distillation=distillation)
    images = torch.randint(256, (2, 3, 4, 4), dtype=torch.uint8)
    module.training_step((images, torch.zeros(2, dtype=torch.long)), 0)
    torch.testing.assert_close(seen, [(images / 255 - 0.5) / 0.25])


def test_a_run_learns_from_its_parent(tiny_run: MakeRun) -> None:
    run = tiny_run("quantizer=seq", "parent=auto", TAUGHT)
    taught = execute(run)
    untaught = tiny_run("quantizer=seq", "parent=auto")
    plain, weights_of_plain = execute(untaught), Workspace.of(run.config).weights(untaught)
    assert taught.parent == plain.parent
    assert taught.config["distillation"] == {"weight": 0.9, "temperature": 4}
    assert taught.weights_sha256 != plain.weights_sha256
    weights = Workspace.of(run.config).weights(run)
    assert load_file(weights).keys() == load_file(weights_of_plain).keys(), "no teacher among them"


def test_without_a_parent_there_is_no_teacher(tiny_run: MakeRun) -> None:
    with pytest.raises(UserError, match=r"^distillation: the teacher is the"):
        execute(tiny_run("quantizer=seq", TAUGHT))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{weight: 0, temperature: 4}", r"weight must lie in \(0, 1\], got 0"),
        ("{weight: 1.5, temperature: 4}", r"weight must lie in \(0, 1\], got 1\.5"),
        ("{weight: 0.5, temperature: 0}", "temperature must be above 0, got 0"),
        ("{weight: much, temperature: 4}", "weight must be a number, got 'much'"),
        ("{weight: 0.5, temperature: inf}", "temperature must be finite, got inf"),
        ("{weight: true, temperature: 4}", "weight must be a number, got True"),
    ],
)
def test_bad_options_are_named(given: str, said: str, tiny_run: MakeRun) -> None:
    run = tiny_run("quantizer=seq", "parent=auto", f"distillation={given}")
    with pytest.raises(UserError, match=f"^distillation: .*{said}"):
        preflight(run.config)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{weight: 0.5}", "there is no temperature"),
        ("{weight: 0.5, temperature: 4, heat: 1}", "unknown: heat; known are weight, temperature"),
        ("0.9", "must consist of weight, temperature"),
    ],
)
def test_other_options_are_named(given: str, said: str, tiny_run: MakeRun) -> None:
    run = tiny_run("quantizer=seq", "parent=auto", f"distillation={given}")
    with pytest.raises(UserError, match=f"^distillation=.*: {said}$"):
        preflight(run.config)
