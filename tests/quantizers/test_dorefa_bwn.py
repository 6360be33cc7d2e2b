"""DoReFa's weights and BWN: binary with one scale per layer or per filter, and variants."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.quantizers.checks import Array, gradients, pull, weights
from ttq_repro.quantizers import BWN, DoReFa

any_weights = st.booleans().flatmap(lambda ties: weights(ties=ties))


def sign(w: Array) -> Array:
    return np.where(w >= 0, 1.0, -1.0)


def dorefa(w: Array, bits: int) -> Array:
    """Eq. 9 (1 bit: Eq. 8)."""
    if bits == 1:
        return np.abs(w).mean() * sign(w)
    n = 2**bits - 1
    peak = np.abs(np.tanh(w)).max()
    return 2 * np.rint(n * (np.tanh(w) / (2 * peak) + 0.5)) / n - 1


def bwn(w: Array) -> Array:
    return np.abs(w).mean(axis=(1, 2, 3), keepdims=True) * sign(w)


@settings(deadline=None, max_examples=100)
@given(any_weights)
def test_values_of_one_bit(latent: Tensor) -> None:
    np.testing.assert_allclose(DoReFa()(latent), dorefa(latent.numpy(), 1), rtol=1e-9)
    np.testing.assert_allclose(BWN()(latent), bwn(latent.numpy()), rtol=1e-9)


@settings(deadline=None, max_examples=100)
@given(weights(), st.integers(2, 8))
def test_values_of_more_bits(latent: Tensor, bits: int) -> None:
    found = DoReFa(bits)(latent)
    np.testing.assert_allclose(found, dorefa(latent.numpy(), bits), atol=1e-6)


def test_one_bit_is_not_the_formula_of_more() -> None:
    """A port that uses Eq. 9 with k = 1 has levels -1 and +1 instead of -E|w| and E|w|."""
    latent = torch.tensor([[-0.3, 0.1, 0.2]], dtype=torch.float64)
    w = latent.numpy()
    formula = 2 * np.rint(np.tanh(w) / (2 * np.tanh(0.3)) + 0.5) - 1
    np.testing.assert_array_equal(np.abs(formula), 1)
    np.testing.assert_allclose(DoReFa(1)(latent).abs(), np.full((1, 3), 0.2))


@settings(deadline=None, max_examples=50)
@given(weights())
def test_one_bit_gradients_go_straight_through(latent: Tensor) -> None:
    for quantizer in (DoReFa(), BWN()):
        np.testing.assert_array_equal(gradients(quantizer, latent, pull(latent))[0], pull(latent))


@settings(deadline=None, max_examples=50)
@given(weights(), st.integers(2, 8))
def test_gradients_of_more_bits_pass_the_rounding_alone(latent: Tensor, bits: int) -> None:
    """The derivative of tanh(w) / max|tanh(w)|, the value that is rounded, maximum included."""
    w, g = latent.numpy(), pull(latent)
    (found,) = gradients(DoReFa(bits), latent, g)
    squashed, slope = np.tanh(w), 1 - np.tanh(w) ** 2
    tops = np.abs(squashed) == np.abs(squashed).max()
    peak = np.abs(squashed).max()
    of_peak = -(g * squashed).sum() / peak**2
    expected = slope * (g / peak + of_peak * np.sign(squashed) * tops / tops.sum())
    # Its two parts may cancel, completely if the layer has a single weight.
    size = np.abs(slope * g / peak).max()
    # For large weights, 1 - tanh^2 is a rounding error.
    rounding = 1e-14 * np.abs(g / peak).max()
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9 * size + rounding)


@settings(deadline=None, max_examples=50)
@given(weights())
def test_the_three_gradients_of_bwn(latent: Tensor) -> None:
    w, g = latent.numpy(), pull(latent)
    n, channels = w[0].size, w.shape[1]
    scale = np.abs(w).mean(axis=(1, 2, 3), keepdims=True)
    derivative = g * (1 / n + scale * (np.abs(w) < 1))
    (found,) = gradients(BWN(latent_gradient="derivative"), latent, g)
    np.testing.assert_allclose(found, derivative, atol=1e-12)
    (found,) = gradients(BWN(latent_gradient="released"), latent, g)
    np.testing.assert_allclose(found, n * (1 - 1 / channels) * derivative, atol=1e-9)


def test_bwn_scales_are_the_least_squares_answer_for_each_filter() -> None:
    torch.manual_seed(0)
    latent = torch.randn(5, 4, 3, 3, dtype=torch.float64) * torch.rand(5, 1, 1, 1)
    quantizer = BWN()
    scale, codes = quantizer.levels(latent)[1], quantizer.codes(latent)

    def error(factor: float) -> Tensor:
        return (latent - factor * scale * codes).square().sum((1, 2, 3))

    assert (error(1.0) < error(1.01)).all()
    assert (error(1.0) < error(0.99)).all()
    layer = DoReFa().levels(latent)[1]
    assert layer.numel() == 1
    assert layer.item() == pytest.approx(scale.mean().item())


def test_centring_and_clamping() -> None:
    torch.manual_seed(0)
    for hook in (lambda q, w: q.initialize(w), lambda q, w: q.after_step(w)):
        latent = 2 * torch.randn(5, 4, 3, 3)
        expected = np.clip(latent.numpy() - latent.numpy().mean(1, keepdims=True), -1, 1)
        hook(BWN(center=True, clamp=True), latent)
        np.testing.assert_allclose(latent, expected, atol=1e-6)
        kept = latent.clone()
        hook(BWN(), latent)
        assert torch.equal(latent, kept)


def test_a_filter_of_one_channel_is_not_centred_away() -> None:
    latent = torch.randn(4, 1, 3, 3)
    kept = latent.clone()
    BWN(center=True).after_step(latent)
    assert torch.equal(latent, kept)


@pytest.mark.parametrize("bits", [0, 9, -1, 1.5, 2.0, True, "2"])
def test_bad_bits_are_named(bits: Any) -> None:
    with pytest.raises(ValueError, match=f"bits must be a whole number from 1 to 8, got {bits!r}"):
        DoReFa(bits)


@pytest.mark.parametrize("argument", ["center", "clamp"])
def test_a_word_is_no_truth_value(argument: str) -> None:
    with pytest.raises(TypeError, match=f"{argument} must be true or false, got 'no'"):
        BWN(**{argument: "no"})


def test_a_bad_gradient_is_named() -> None:
    with pytest.raises(ValueError, match="latent_gradient must be one of straight_through, deriv"):
        BWN(latent_gradient="sign")
