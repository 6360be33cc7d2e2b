import math
from functools import partial

import pytest
import torch
from torch import nn

from ttq_repro.errors import UserError
from ttq_repro.models import CifarResNet
from ttq_repro.quantizers import TTQ, BinaryConnect, FirstLast, quantize_
from ttq_repro.runs.config import compose_config
from ttq_repro.training.optimization import Recipe, optimizer_and_schedule
from ttq_repro.training.preflight import preflight


def recipe(*overrides: str) -> Recipe:
    return Recipe(**compose_config("train", list(overrides))["recipe"])


def rates(recipe: Recipe, steps_per_epoch: int) -> list[float]:
    """The learning rate in force at the start of every epoch."""
    made = optimizer_and_schedule(nn.Linear(2, 2), recipe, recipe.epochs * steps_per_epoch)
    optimizer, schedule = made["optimizer"], made["lr_scheduler"]
    values = []
    for _ in range(recipe.epochs):
        values.append(optimizer.param_groups[0]["lr"])
        for _ in range(steps_per_epoch):
            optimizer.step()
            if schedule["interval"] == "step":
                schedule["scheduler"].step()
        if schedule["interval"] == "epoch":
            schedule["scheduler"].step()
    return values


def test_the_papers_schedule_drops_where_the_paper_says() -> None:
    values = [round(rate, 6) for rate in rates(recipe("recipe=paper_finetune"), 2)]
    assert values == [0.1] * 80 + [0.01] * 40 + [0.001] * 40


def test_ttqs_first_epochs_are_that_of_the_released_log() -> None:
    values = [round(rate, 6) for rate in rates(recipe("recipe=paper_warm_up"), 2)]
    assert values == [2e-4] * 2 + [0.1] * 78 + [0.01] * 40 + [0.001] * 40


def test_the_released_codes_schedule() -> None:
    values = [round(rate, 6) for rate in rates(recipe("recipe=paper_authors_code"), 2)]
    assert values == [2e-4] * 2 + [0.1] * 162 + [0.01] * 82 + [0.001] * 354 + [1e-4] * 200


@pytest.mark.parametrize(
    ("name", "warm_up", "error"),
    [
        ("paper_finetune", "{epochs: 1}", r"={'epochs': 1}: must consist of epochs and lr"),
        ("paper_finetune", "{epochs: 1, lr: 0.1, gamma: 2}", "=.*: must consist of epochs"),
        ("paper_finetune", "true", "=True: must consist of epochs and lr"),
        ("paper_finetune", "{epochs: 0.5, lr: 0.1}", r"\.epochs=0\.5: must be a whole number"),
        ("paper_finetune", "{epochs: 161, lr: 0.1}", r"\.epochs=161: must be .* from 1 to 160"),
        ("paper_finetune", "{epochs: 81, lr: 0.1}", "=.*: needs MultiStepLR with no drop"),
        ("paper_finetune", "{epochs: 1, lr: abc}", r"\.lr=abc: must be a number, got 'abc'"),
        ("paper_finetune", "{epochs: 1, lr: 0}", r"\.lr=0: must be above 0, at most recipe"),
        ("paper_finetune", "{epochs: 1, lr: 0.2}", r"\.lr=0\.2: must be .*\.optimizer\.lr=0\.1$"),
        ("short", "{epochs: 1, lr: 0.01}", "=.*: needs MultiStepLR"),
    ],
)  # fmt: skip
def test_a_warm_up_that_is_none(name: str, warm_up: str, error: str) -> None:
    with pytest.raises(UserError, match=rf"^recipe\.warm_up{error}"):
        recipe(f"recipe={name}", f"+recipe.warm_up={warm_up}")


def test_a_warm_up_goes_without_drops() -> None:
    made = recipe("recipe=paper_warm_up", "recipe.schedule.milestones=[]")
    assert rates(made, 3)[2] == pytest.approx(0.1)
    with pytest.raises(UserError, match=r"^recipe\.schedule\.milestones=50: must be a list"):
        recipe("recipe=paper_warm_up", "recipe.schedule.milestones=50")


@pytest.mark.parametrize("epoch", ["80.5", "-5", "abc"])
def test_a_drop_that_is_at_no_epoch(epoch: str) -> None:
    """The schedule would never come to it."""
    with pytest.raises(UserError, match=r"^recipe\.schedule\.milestones=.*: must be a whole num"):
        recipe("recipe=paper", f"recipe.schedule.milestones=[82,123,{epoch}]")


def test_the_parents_schedule_is_that_of_he_et_al() -> None:
    values = [round(rate, 6) for rate in rates(recipe("recipe=paper"), 2)]
    assert values == [0.1] * 82 + [0.01] * 41 + [0.001] * 41


def test_a_single_epoch_of_warm_up() -> None:
    values = [round(rate, 6) for rate in rates(recipe("recipe=paper_ttq"), 2)]
    assert values == [2e-4] + [0.1] * 79 + [0.01] * 40 + [0.001] * 40


def test_the_schedule_in_the_epochs_of_the_released_log() -> None:
    values = [round(rate, 6) for rate in rates(recipe("recipe=paper_log_epochs"), 2)]
    assert values == [2e-4] * 2 + [0.1] * 158 + [0.01] * 80 + [0.001] * 80


def test_the_short_schedule_is_one_cycle() -> None:
    values = rates(recipe("recipe=short"), 10)
    peak = values.index(max(values))
    assert abs(max(values) - 0.1) < 1e-3
    assert values[: peak + 1] == sorted(values[: peak + 1])
    assert values[peak:] == sorted(values[peak:], reverse=True)
    assert values[-1] < 0.001


def test_few_epochs_of_one_cycle_are_checked_with_as_many_steps_as_they_have() -> None:
    preflight(compose_config("train", ["data=digits", "recipe=short", "recipe.epochs=5"]))


def test_a_schedule_that_divides_by_zero_is_refused() -> None:
    options = ["data=digits", "recipe=short", "recipe.epochs=1", "recipe.schedule.pct_start=0.001"]
    with pytest.raises(UserError, match=r"^recipe short: .*division by zero"):
        preflight(compose_config("train", options))


def test_float_and_bias_parameters_of_the_optimizer() -> None:
    network = CifarResNet(8)
    groups = optimizer_and_schedule(network, recipe("recipe=paper"), 10)["optimizer"].param_groups
    assert [group["weight_decay"] for group in groups] == [2e-4, 0.0]
    total = sum(p.numel() for group in groups for p in group["params"])
    assert total == sum(p.numel() for p in network.parameters())


def glorot_network() -> nn.Module:
    """Two quantized layers that learn at different rates, and a float one."""
    network = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 18), nn.Linear(18, 2))
    quantize_(network, partial(BinaryConnect, rate_scaling="glorot"))
    return network


#: By group: the float layer's weight, the two latent weights, the biases.
FACTORS = [1, math.sqrt(24 / 1.5), math.sqrt(20 / 1.5), 1]


@pytest.mark.parametrize("name", ["paper", "short"])
def test_a_factor_stays_with_its_parameters_under_every_schedule(name: str) -> None:
    network = glorot_network()
    used = recipe(f"recipe={name}")
    made = optimizer_and_schedule(network, used, used.epochs)
    groups, schedule = made["optimizer"].param_groups, made["lr_scheduler"]["scheduler"]
    for layer, group in ((1, groups[1]), (2, groups[2])):
        (latent,) = group["params"]
        assert latent is network[layer].parametrizations.weight.original
    plain = optimizer_and_schedule(nn.Linear(2, 2), used, used.epochs)
    base, base_schedule = plain["optimizer"].param_groups[0], plain["lr_scheduler"]["scheduler"]
    seen = set()
    for _ in range(used.epochs - 1):
        rates = [group["lr"] for group in groups]
        assert rates == pytest.approx([base["lr"] * factor for factor in FACTORS])
        seen.add(base["lr"])
        for optimizer in (made["optimizer"], plain["optimizer"]):
            optimizer.step()
        schedule.step()
        base_schedule.step()
    assert len(seen) >= 3


def test_a_factor_scales_the_step_but_not_the_decay() -> None:
    network = glorot_network()
    optimizer = optimizer_and_schedule(network, recipe("recipe=paper"), 10)["optimizer"]
    latent = network[1].parametrizations.weight.original
    before = latent.detach().clone()
    latent.grad = torch.ones_like(latent)
    optimizer.step()
    expected = before - 0.1 * FACTORS[1] - 0.1 * 2e-4 * before
    torch.testing.assert_close(latent.detach(), expected)


def test_alexnets_rate_drops_where_the_paper_says() -> None:
    values = [round(rate, 8) for rate in rates(recipe("recipe=paper_alexnet"), 1)]
    assert values == [1e-4] * 56 + [2e-5] * 8 + [4e-6] * 16


@pytest.mark.parametrize(("name", "first"), [("resnet18", 0.1), ("resnet18_adam", 1e-3)])
def test_resnet18s_rate_drops_every_thirty_epochs(name: str, first: float) -> None:
    values = [rate / first for rate in rates(recipe(f"recipe=paper_{name}"), 1)]
    assert values == pytest.approx([1] * 30 + [0.1] * 30 + [0.01] * 30)


def test_the_release_decays_alexnets_fully_connected_layers_alone() -> None:
    # The same kinds of layers, without AlexNet's 60 million weights.
    convolutions = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)
    network = nn.Sequential(*convolutions, nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    quantize_(network, TTQ, FirstLast(quantize_last=False))
    names = {id(p): name for name, p in network.named_parameters()}
    made = optimizer_and_schedule(network, recipe("recipe=paper_alexnet_authors_code"), 10)
    decayed, rest = made["optimizer"].param_groups
    assert (decayed["weight_decay"], rest["weight_decay"]) == (5e-6, 0.0)
    assert decayed["eps"] == 1e-5
    chosen = {names[id(p)] for p in decayed["params"]}
    scales = ("original", "0.positive_scale", "0.negative_scale")
    assert chosen == {
        *(f"3.parametrizations.weight.{name}" for name in scales),
        "5.weight",
    }
