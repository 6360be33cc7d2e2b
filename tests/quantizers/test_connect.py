"""BinaryConnect and TernaryConnect: sampling, clipping, evaluation, learning rates."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.quantizers.checks import Array, gradients, pull, weights
from ttq_repro.quantizers import BinaryConnect, TernaryConnect, quantize_, quantized_layers
from ttq_repro.quantizers.connect import Connect

METHODS = (BinaryConnect, TernaryConnect)


def hard_sigmoid(w: Array) -> Array:
    return np.clip((w + 1) / 2, 0, 1)


def nearest(method: type[Connect], w: Array) -> Array:
    if method is BinaryConnect:
        return np.where(w >= 0, 1.0, -1.0)
    return np.sign(w) * (np.abs(w) > 0.5)


def chances(method: type[Connect], w: Array) -> dict[int, Array]:
    """The probability of each level for each weight."""
    if method is BinaryConnect:
        return {1: hard_sigmoid(w), -1: 1 - hard_sigmoid(w)}
    magnitude = np.clip(np.abs(w), 0, 1)
    return {1: magnitude * (w > 0), 0: 1 - magnitude, -1: magnitude * (w < 0)}


@settings(deadline=None, max_examples=50)
@given(st.booleans().flatmap(lambda ties: weights(ties=ties)), st.sampled_from(METHODS))
def test_deterministic_values(latent: Tensor, method: type[Connect]) -> None:
    quantizer = method(stochastic=False)
    expected = nearest(method, latent.numpy())
    np.testing.assert_array_equal(quantizer.train()(latent), expected)
    np.testing.assert_array_equal(quantizer.eval()(latent), expected)
    np.testing.assert_array_equal(quantizer.codes(latent), expected)


@settings(deadline=None, max_examples=20, derandomize=True)
@given(
    st.lists(st.floats(-1.5, 1.5), min_size=1, max_size=4),
    st.sampled_from(METHODS),
    st.integers(0, 1000),
)
def test_sampled_levels_come_as_often_as_the_source_says(
    values: list[float], method: type[Connect], seed: int
) -> None:
    """Within five standard errors, plus three draws for the rarest levels."""
    torch.manual_seed(seed)
    count = 4000
    latent = torch.tensor(values, dtype=torch.float64)[:, None].expand(-1, count)
    drawn = method(stochastic=True)(latent).numpy()
    for level, chance in chances(method, np.array(values)).items():
        found = (drawn == level).mean(1)
        error = np.sqrt(chance * (1 - chance) / count)
        assert (np.abs(found - chance) <= 5 * error + 3 / count).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("stochastic", [True, False])
def test_the_gradient_passes_as_it_is_also_beyond_the_clip(
    method: type[Connect], stochastic: bool
) -> None:
    latent = torch.tensor([[-3.0, -1.0, -0.4, 0.0, 0.3, 0.9, 2.0]], dtype=torch.float64)
    (found,) = gradients(method(stochastic=stochastic), latent, pull(latent))
    np.testing.assert_array_equal(found, pull(latent))


@pytest.mark.parametrize("method", METHODS)
def test_each_reading_is_sampled_anew_and_a_seed_repeats_it(method: type[Connect]) -> None:
    latent = torch.zeros(20, 20) + 0.5
    quantizer = method()
    torch.manual_seed(3)
    first, second = quantizer(latent), quantizer(latent)
    assert not torch.equal(first, second)
    torch.manual_seed(3)
    assert torch.equal(quantizer(latent), first)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("options", "float_weights"),
    [
        ({"stochastic": True}, True),
        ({"stochastic": False}, False),
        ({"stochastic": True, "evaluation": "quantized"}, False),
        ({"stochastic": False, "evaluation": "float"}, True),
    ],
)
def test_evaluation_modes(
    method: type[Connect], options: dict[str, Any], float_weights: bool
) -> None:
    latent = torch.linspace(-1, 1, 21)[:, None]
    quantizer = method(**options).eval()
    if float_weights:
        assert torch.equal(quantizer(latent), latent)
        assert quantizer.codes(latent) is None
        assert quantizer.levels(latent) is None
    else:
        rounded = torch.from_numpy(nearest(method, latent.numpy())).float()
        assert torch.equal(quantizer(latent), rounded)
        assert torch.equal(quantizer.codes(latent), rounded.to(torch.int8))
    assert set(quantizer.train()(latent).unique().tolist()) <= set(method.values)


@pytest.mark.parametrize("method", METHODS)
def test_latent_weights_are_clipped_before_training_and_after_each_step(
    method: type[Connect],
) -> None:
    for hook in (lambda q, w: q.initialize(w), lambda q, w: q.after_step(w)):
        latent = torch.tensor([-7.0, -1.0, -0.3, 0.0, 1.0, 1.2])
        hook(method(), latent)
        assert torch.equal(latent, torch.tensor([-1.0, -1.0, -0.3, 0.0, 1.0, 1.0]))


def test_without_the_clip_a_weight_takes_long_to_come_back() -> None:
    """After 30 steps up and 5 back down, the sign has flipped only if the weight was clipped."""
    signs = {}
    for clipped in (True, False):
        quantizer, latent = BinaryConnect(stochastic=False), torch.zeros(1, 1)
        for direction in [1.0] * 30 + [-1.0] * 5:
            latent += 0.3 * direction
            if clipped:
                quantizer.after_step(latent)
        signs[clipped] = quantizer(latent).item()
    assert signs == {True: -1.0, False: 1.0}


@pytest.mark.parametrize(("scaling", "power"), [("none", 0), ("glorot", 1), ("glorot_squared", 2)])
def test_glorot_rates(scaling: str, power: int) -> None:
    """Fan-in and fan-out count kernel positions: here sqrt(1.5 / (9 * 4 + 9 * 8))."""
    latent = nn.Parameter(torch.zeros(8, 4, 3, 3))
    ((parameter, factor),) = BinaryConnect(rate_scaling=scaling).rate_factors(latent)
    assert parameter is latent
    assert factor == pytest.approx((1.5 / 108) ** (-power / 2))


@pytest.mark.parametrize("method", METHODS)
def test_rescaling_fills_the_range_once_when_attached(method: type[Connect]) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(50, 40)
    before = layer.weight.detach().clone()
    quantize_(nn.Sequential(nn.Linear(2, 2), layer), partial(method, rescale=True))
    latent = layer.parametrizations.weight.original.detach()
    assert latent.square().mean().item() == pytest.approx(1 / 3)
    factor = (latent / before)[0, 0]
    torch.testing.assert_close(latent, factor * before)
    unscaled = nn.Sequential(nn.Linear(2, 2), nn.Linear(50, 40))
    kept = unscaled[1].weight.detach().clone()
    quantize_(unscaled, method)
    assert torch.equal(quantized_layers(unscaled)[0].latent, kept)


def test_trained_weights_round_to_zeros_unless_rescaled() -> None:
    torch.manual_seed(0)
    latent = 0.06 * torch.randn(64, 64)
    quantizer = TernaryConnect(stochastic=False, rescale=True)
    assert not quantizer(latent).any()
    quantizer.initialize(latent)
    assert 0.3 < quantizer(latent).abs().mean() < 0.5


@pytest.mark.parametrize("argument", ["stochastic", "rescale"])
def test_a_word_is_no_truth_value(argument: str) -> None:
    with pytest.raises(TypeError, match=f"{argument} must be true or false, got 'no'"):
        BinaryConnect(**{argument: "no"})


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="evaluation must be one of float, quantized; got 'both'"):
        BinaryConnect(evaluation="both")
    with pytest.raises(ValueError, match="rate_scaling must be one of none, glorot, glorot_sq"):
        TernaryConnect(rate_scaling="adam")
