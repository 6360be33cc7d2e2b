"""LSQ, absmean and SEQ against the equations of their sources in NumPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.quantizers.checks import Array, gradients, pull, ready, weights
from ttq_repro.quantizers import LSQ, SEQ, TWN, AbsMean, Quantizer


def lsq(w: Array, step: Array) -> Array:
    return np.rint(np.clip(w / step, -1, 1)) * step


def seq(w: Array, bound: Array) -> Array:
    return np.rint(1.5 * np.clip(w / bound, -0.99, 0.99)) / 1.5 * bound


def absmean(w: Array) -> Array:
    mean = max(np.abs(w).mean(), 1e-5)
    return mean * np.clip(np.rint(w / mean), -1, 1)


@settings(deadline=None, max_examples=50)
@given(weights())
def test_values(latent: Tensor) -> None:
    w = latent.numpy()
    step = 2 * np.abs(w).mean()
    np.testing.assert_allclose(ready(LSQ, latent)(latent).detach(), lsq(w, step), rtol=1e-6)
    bound = np.abs(w).max(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(ready(SEQ, latent)(latent).detach(), seq(w, bound), rtol=1e-6)
    np.testing.assert_allclose(ready(AbsMean, latent)(latent).detach(), absmean(w), rtol=1e-6)


@settings(deadline=None, max_examples=50)
@given(weights(), st.floats(0.2, 3))
def test_lsq_gradients(latent: Tensor, stretch: float) -> None:
    quantizer = ready(LSQ, latent)
    with torch.no_grad():
        quantizer.step *= stretch
    step = quantizer.step.item()
    w, g = latent.numpy(), pull(latent)
    got_latent, got_step = gradients(quantizer, latent, g, quantizer.step)
    inside = np.abs(w) < step
    np.testing.assert_allclose(got_latent, g * inside, atol=1e-12)
    of_step = np.where(inside, np.rint(w / step) - w / step, np.sign(w))
    np.testing.assert_allclose(got_step, (g * of_step).sum() / np.sqrt(w.size), atol=1e-9)


@settings(deadline=None, max_examples=50)
@given(weights(), st.floats(0.2, 3))
def test_seq_gradients(latent: Tensor, stretch: float) -> None:
    quantizer = ready(SEQ, latent)
    with torch.no_grad():
        quantizer.range *= stretch
    bound = quantizer.range.detach().numpy()
    w, g = latent.numpy(), pull(latent)
    got_latent, got_range = gradients(quantizer, latent, g, quantizer.range)
    inside = np.abs(w) < 0.99 * bound
    np.testing.assert_allclose(got_latent, g * inside, atol=1e-12)
    of_range = np.where(inside, (seq(w, bound) - w) / bound, 2 / 3 * np.sign(w))
    expected = (g * of_range).sum(axis=(1, 2, 3), keepdims=True) / np.sqrt(w.size)
    np.testing.assert_allclose(got_range, expected, atol=1e-9)


def test_absmean_passes_every_gradient_on() -> None:
    latent = torch.tensor([[-9.0, -0.1, 0.0, 0.4, 1.0]])
    g = np.array([[1.0, 2.0, 3.0, 4.0, 5.0]])
    (got,) = gradients(AbsMean(), latent, g)
    np.testing.assert_array_equal(got, g)


def test_known_confusions_are_told_apart() -> None:
    torch.manual_seed(0)
    latent = torch.randn(16, 8)
    twn, absmean_weight = TWN()(latent).abs().amax(), AbsMean()(latent).abs().amax()
    assert twn > 1.3 * absmean_weight, "TWN's scale leaves the zeros out"
    seq_quantizer, lsq_quantizer = ready(SEQ, latent), ready(LSQ, latent)
    with torch.no_grad():
        seq_quantizer.range.fill_(1.5)
        lsq_quantizer.step.fill_(1.0)
    assert torch.allclose(seq_quantizer(latent), lsq_quantizer(latent)), "the same forward pass"
    one = np.ones(latent.shape, np.float32)
    (of_seq,) = gradients(seq_quantizer, latent, one)
    (of_lsq,) = gradients(lsq_quantizer, latent, one)
    outer = ((latent.abs() > 1) & (latent.abs() < 0.99 * 1.5)).numpy()
    assert outer.any()
    assert (of_seq[outer] == 1).all()
    assert (of_lsq[outer] == 0).all()


@pytest.mark.parametrize("method", [LSQ, SEQ])
def test_what_is_trained_stays_positive(method: Callable[[], Quantizer]) -> None:
    latent = torch.randn(4, 3)
    quantizer = ready(method, latent)
    (trained,) = quantizer.parameters()
    with torch.no_grad():
        trained.fill_(-1.0)
        quantizer.after_step(latent)
    assert (trained > 0).all()
    assert quantizer(latent).isfinite().all()
