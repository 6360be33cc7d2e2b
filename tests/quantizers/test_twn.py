"""TWN against its equations, and against the port that computes them per filter."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.quantizers.checks import Array, gradients, pull, weights
from ttq_repro.quantizers import TWN


def twn(w: Array, factor: float) -> Array:
    """The equations for a set of weights that share threshold and scale."""
    delta = factor * np.abs(w).mean()
    kept = np.abs(w) > delta
    scale = np.abs(w)[kept].mean() if kept.any() else 0.0
    return scale * np.sign(w) * kept


@settings(deadline=None, max_examples=100)
@given(weights(), st.floats(0, 3))
def test_values(latent: Tensor, factor: float) -> None:
    w = latent.numpy()
    np.testing.assert_allclose(TWN(factor)(latent), twn(w, factor), rtol=1e-9)
    per_filter = np.stack([twn(filter_, factor) for filter_ in w])
    found = TWN(factor, granularity="filter")(latent)
    np.testing.assert_allclose(found, per_filter, rtol=1e-9)


def test_the_default_is_the_papers_and_not_the_ports() -> None:
    torch.manual_seed(0)
    latent = torch.randn(8, 3, 3, 3, dtype=torch.float64) * torch.rand(8, 1, 1, 1) * 4
    paper, port = TWN(), TWN(0.75, granularity="filter")
    np.testing.assert_allclose(paper(latent), twn(latent.numpy(), 0.7), rtol=1e-9)
    assert len(paper(latent).abs().unique()) == 2
    assert len(port(latent).abs().unique()) == 9
    assert (paper.codes(latent) != port.codes(latent)).any()


@pytest.mark.parametrize("draw", [torch.randn, lambda *shape: 2 * torch.rand(*shape) - 1])
def test_the_threshold_is_nearly_the_best_there_is(draw: object) -> None:
    """0.7 roughly minimizes the squared error of normal and of uniform weights, as derived."""
    torch.manual_seed(0)
    latent = draw(100, 100)

    def error(factor: float) -> float:
        return (TWN(factor)(latent) - latent).square().mean().item()

    best = min(error(factor) for factor in np.arange(0.3, 1.2, 0.02))
    assert error(0.7) < 1.02 * best
    assert error(0.3) > 1.1 * best
    assert error(1.1) > 1.1 * best


def test_the_gradient_goes_straight_through() -> None:
    latent = torch.tensor([[-9.0, -0.1, 0.0, 0.1, 3.0]], dtype=torch.float64)
    for quantizer in (TWN(), TWN(0.75, granularity="filter")):
        np.testing.assert_array_equal(gradients(quantizer, latent, pull(latent))[0], pull(latent))


@pytest.mark.parametrize("factor", [-0.1, float("nan"), float("inf")])
def test_a_bad_factor_is_named(factor: float) -> None:
    with pytest.raises(ValueError, match=r"factor must be (0 or more|finite)"):
        TWN(factor)


def test_a_factor_that_is_no_number_is_named() -> None:
    with pytest.raises(TypeError, match=r"factor must be a number, got '0\.7'"):
        TWN("0.7")


def test_the_scale_of_a_large_layer_does_not_overflow_in_half_precision() -> None:
    latent = (0.05 * torch.randn(1024, 2048)).half()
    (scale,) = TWN()(latent).unique()[2:]
    assert scale.item() == pytest.approx(TWN()(latent.double()).max().item(), rel=1e-3)


def test_a_bad_granularity_is_named() -> None:
    with pytest.raises(ValueError, match="granularity must be one of layer, filter; got 'row'"):
        partial(TWN, granularity="row")()
