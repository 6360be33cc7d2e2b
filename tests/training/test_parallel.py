"""Two processes over gloo, against one process that averages the halves of every batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.swa_utils import update_bn

from tests.training.sharing import (
    METHODS,
    WORLD,
    config_of,
    few_digits,
    gradients_of,
    parent_of,
    train_shard,
)
from ttq_repro.quantizers import after_step, on_epoch_start
from ttq_repro.training.fit import seed_of_views
from ttq_repro.training.module import Classifier
from ttq_repro.training.network import (
    attach_quantizer,
    build_network,
    distillation_from,
    restore_float,
)
from ttq_repro.training.optimization import Recipe, optimizer_and_schedule
from ttq_repro.workers import run_together

Kept = dict[str, Any]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Kept]]:
    """What each of the processes has saved, by method."""
    folder = tmp_path_factory.mktemp("shared")
    run_together(train_shard, (folder,), WORLD, threads=1)
    return {
        method: [torch.load(folder / f"{method}-{rank}") for rank in range(WORLD)]
        for method in METHODS
    }


def one_process(method: str) -> Kept:
    """The same training in one process.

    Each half has a network of its own: the same weights, but separate running statistics.
    """
    config, data = config_of(method), few_digits()
    parent = parent_of(config)
    recipe, seed = Recipe(**config["recipe"]), config["seed"]
    modules = []
    for _ in range(WORLD):
        network = build_network(config, parent)
        attach_quantizer(network, config)
        # As in training: weights are sampled in the order in which they lie in memory.
        network.to(memory_format=torch.channels_last)
        teaching = {"distillation": distillation_from(config, parent)}
        modules.append(Classifier(network, recipe, *data.channel_statistics(), seed, **teaching))
    loader = data.train_loader(recipe.batch_size, seed_of_views(seed, parent))
    built = optimizer_and_schedule(modules[0].network, recipe, recipe.epochs * len(loader))
    optimizer, schedule = built["optimizer"], built["lr_scheduler"]["scheduler"]
    steps, views = [], []
    for epoch in range(recipe.epochs):
        loader.sampler.set_epoch(epoch)
        torch.manual_seed(int(np.random.SeedSequence((seed, epoch)).generate_state(1)[0]))
        for module in modules:
            on_epoch_start(module.quantized, epoch, recipe.epochs)
        for images, labels in loader:
            optimizer.zero_grad()
            loss, random = 0.0, torch.get_rng_state()
            # Three images are too few to share: both halves take all of them, at half weight.
            halves = [slice(0, None, 2), slice(1, None, 2)] if len(labels) > 3 else [slice(3)] * 2
            views.append([images[half] for half in halves])
            count = sum(len(labels[half]) for half in halves)
            for module, half in zip(modules, halves, strict=True):
                torch.set_rng_state(random)
                part = loss_of(module, images[half], labels[half]) * (len(labels[half]) / count)
                part.backward()
                loss += part.item()
            add_gradients(modules)
            step = {"loss": loss, "gradients": gradients_of(modules[0].network)}
            steps.append(step | {"learning_rate": optimizer.param_groups[0]["lr"]})
            optimizer.step()
            schedule.step()
            after_step(modules[0].quantized)
            copy_weights(modules)
    if batches := config["reestimate_batch_norm"]:
        for module, seen in zip(modules, zip(*views, strict=True), strict=True):
            update_bn(seen[-batches:], module)
    copy_mean_statistics(modules)
    network = modules[0].eval().network
    ((images, labels),) = data.test_loader()
    logits = modules[0](images)
    restore_float(network)
    return {
        "steps": steps,
        "state": network.state_dict(),
        "test_loss": F.cross_entropy(logits, labels).item(),
        "correct": logits.argmax(1) == labels,
    }


def loss_of(module: Classifier, images: Tensor, labels: Tensor) -> Tensor:
    """The mean over a half of a batch."""
    logits = module(images)
    if module.distillation is None:
        return F.cross_entropy(logits, labels)
    return module.distillation.loss(module.normalized(images), logits, labels)


def add_gradients(modules: list[Classifier]) -> None:
    first, second = (module.network for module in modules)
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        one.grad += other.grad
        other.grad = None


@torch.no_grad()
def copy_weights(modules: list[Classifier]) -> None:
    first, second = (module.network for module in modules)
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        other.copy_(one)


@torch.no_grad()
def copy_mean_statistics(modules: list[Classifier]) -> None:
    first, second = (dict(module.network.named_buffers()) for module in modules)
    for name, one in first.items():
        if "running" in name:
            one.copy_((one + second[name]) / 2)


@pytest.mark.parametrize("method", METHODS)
def test_two_processes_are_one_that_averages_halves(
    method: str, shared: dict[str, list[Kept]]
) -> None:
    first, second = shared[method]
    expected = one_process(method)
    assert len(expected["steps"]) == len(first["steps"]) == 6
    for one, other, step in zip(first["steps"], second["steps"], expected["steps"], strict=True):
        assert (one["loss"] + other["loss"]) / 2 == pytest.approx(step["loss"], rel=1e-5)
        assert one["gradients"].keys() == step["gradients"].keys()
        for name, gradient in step["gradients"].items():
            assert torch.equal(one["gradients"][name], other["gradients"][name])
            size = gradient.abs().max().item()
            torch.testing.assert_close(one["gradients"][name], gradient, rtol=0, atol=1e-4 * size)
    assert first["state"].keys() == expected["state"].keys()
    for name, value in expected["state"].items():
        assert torch.equal(first["state"][name], second["state"][name]), name
        if "tracked" not in name:
            torch.testing.assert_close(first["state"][name], value, rtol=1e-4, atol=1e-5)
    assert torch.equal(first["correct"], expected["correct"])
    assert first["history"]["test_loss"][-1] == pytest.approx(expected["test_loss"], rel=1e-4)
    rates = [step["learning_rate"] for step in expected["steps"]]
    assert first["history"]["learning_rate"] == pytest.approx(rates[2::3]), "an epoch's last"


@pytest.mark.parametrize("method", METHODS)
def test_all_processes_know_the_same_metrics(method: str, shared: dict[str, list[Kept]]) -> None:
    first, second = shared[method]
    assert torch.equal(first["correct"], second["correct"])
    for name, values in first["history"].items():
        if name != "seconds":
            assert values == second["history"][name], name
    steps = first["steps"], second["steps"]
    halves = [(one["loss"] + other["loss"]) / 2 for one, other in zip(*steps, strict=True)]
    sizes = [25, 25, 3]
    for epoch, train_loss in enumerate(first["history"]["train_loss"]):
        losses = halves[3 * epoch : 3 * epoch + 3]
        mean = sum(size * loss for size, loss in zip(sizes, losses, strict=True)) / sum(sizes)
        assert train_loss == pytest.approx(mean, rel=1e-5)
    for epoch, train_error in enumerate(first["history"]["train_error"]):
        one, other = (kept["steps"][3 * epoch : 3 * epoch + 3] for kept in (first, second))
        # Both processes took all of the last three images.
        wrong = sum(step["wrong"] for step in [*one, *other[:2]])
        assert train_error == pytest.approx(wrong / sum(sizes))
