"""Re-estimated batch norm against the statistics of what each layer is given."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.conftest import stopped_at
from tests.training.sharing import SAMPLED, config_of, few_digits, trained
from ttq_repro.errors import UserError
from ttq_repro.runs.execute import execute
from ttq_repro.runs.run import Run
from ttq_repro.runs.workspace import Workspace
from ttq_repro.training.batch_norm import batch_norms
from ttq_repro.training.preflight import preflight

MakeRun = Callable[..., Run]
#: An epoch of :func:`few_digits` has three batches.
BATCHES = 3


@torch.no_grad()
def expected_statistics(network: nn.Module, batches: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Mean and variance of the inputs of each batch norm, averaged over the batches."""
    layers = batch_norms(network.eval())
    found: list[list[tuple[Tensor, Tensor]]] = [[] for _ in layers]

    def look(own: list[tuple[Tensor, Tensor]], _: nn.Module, inputs: tuple[Tensor]) -> None:
        values = inputs[0].transpose(0, 1).flatten(1)
        own.append((values.mean(1), values.var(1)))

    for layer, own in zip(layers, found, strict=True):
        layer.running_mean = layer.running_var = None  # It then normalizes by the batch.
        layer.register_forward_pre_hook(partial(look, own))
    for batch in batches:
        network(batch)
    return [
        (torch.stack(means).mean(0), torch.stack(variances).mean(0))
        for means, variances in (zip(*own, strict=True) for own in found)
    ]


@pytest.mark.parametrize("asked", [1, 2, 50])
@pytest.mark.parametrize("method", ["full_precision", "ttq", SAMPLED])
def test_statistics_are_those_of_the_last_batches(method: str, asked: int, tmp_path: Path) -> None:
    config = config_of(f"{method} reestimate_batch_norm={asked}")
    network = trained(config, tmp_path).network
    data = few_digits()
    loader = data.train_loader(config["recipe"]["batch_size"], config["seed"])
    loader.sampler.set_epoch(config["recipe"]["epochs"] - 1)
    mean, std = (torch.tensor(one)[:, None, None] for one in data.channel_statistics())
    last = [((images / 255 - mean) / std).float() for images, _ in loader]
    assert len(last) == BATCHES
    kept = [(layer.running_mean, layer.running_var) for layer in batch_norms(network)]
    assert len(kept) == 7
    assert {layer.momentum for layer in batch_norms(network)} == {nn.BatchNorm2d(1).momentum}
    for own, expected in zip(kept, expected_statistics(network, last[-asked:]), strict=True):
        torch.testing.assert_close(own, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["ttq", SAMPLED])
def test_training_is_not_affected_but_its_tests_are(method: str, tmp_path: Path) -> None:
    usual = trained(config_of(method), tmp_path / "usual")
    other = trained(config_of(f"{method} reestimate_batch_norm=3"), tmp_path / "other")
    assert other.history["train_loss"] == usual.history["train_loss"]
    assert other.history["test_loss"] != usual.history["test_loss"]
    for name, weights in usual.network.named_parameters():
        assert torch.equal(other.network.get_parameter(name), weights), name


def test_a_resumed_run_ends_as_if_it_had_not_stopped(tiny_run: MakeRun) -> None:
    run = tiny_run("quantizer=ttq", "reestimate_batch_norm=2")
    whole = execute(run)
    workspace = Workspace.of(run.config)
    workspace.record(run).unlink()
    with stopped_at(1):
        execute(run)
    assert workspace.resume_checkpoint(run).is_file()
    assert execute(run).weights_sha256 == whole.weights_sha256


def test_it_makes_another_run_and_is_told(tiny_run: MakeRun) -> None:
    usual, run = tiny_run(), tiny_run("reestimate_batch_norm=20")
    more = tiny_run("reestimate_batch_norm=50")
    assert len({usual.identity, run.identity, more.identity}) == 3
    assert "reestimate_batch_norm=20" in run.label


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "yes", "true"])
def test_a_bad_number_of_batches_is_named(value: str, tiny_run: MakeRun) -> None:
    with pytest.raises(UserError, match=r"^reestimate_batch_norm"):
        preflight(tiny_run(f"reestimate_batch_norm={value}").config)


class Bare(nn.Sequential):
    """A network without batch norm."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3, stride=8))
        self.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes)])


def test_a_network_without_batch_norm_has_nothing_to_reestimate(tiny_run: MakeRun) -> None:
    run = tiny_run("reestimate_batch_norm=20")
    config = run.config | {"model": {"name": "bare", "_target_": f"{__name__}.Bare"}}
    preflight(config | {"reestimate_batch_norm": None})
    with pytest.raises(UserError, match=r"^reestimate_batch_norm: the network has no batch norm"):
        preflight(config)
