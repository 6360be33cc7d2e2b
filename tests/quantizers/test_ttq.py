"""TTQ against its equations in NumPy, and against ports known to be wrong."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.quantizers.checks import Array, gradients, numeric_gradient, pull, ready, weights
from ttq_repro.models import CifarResNet
from ttq_repro.quantizers import TTQ, all_but, quantize_, quantized_layers

thresholds = st.floats(0, 0.999)
scales = st.floats(-2, 2)


def eq6(w: Array, t: float, positive: float, negative: float) -> Array:
    """The ternary weights (Eq. 6), Delta = t max|w|."""
    delta = t * np.abs(w).max()
    return np.select([w > delta, w < -delta], [positive, -negative], 0.0)


def eq8(g: Array, w: Array, t: float, positive: float, negative: float) -> Array:
    """The gradient of the latent weights (Eq. 8)."""
    delta = t * np.abs(w).max()
    return g * np.select([w > delta, w < -delta], [positive, negative], 1.0)


def with_scales(latent: Tensor, positive: float, negative: float, **options: Any) -> TTQ:
    quantizer = ready(partial(TTQ, **options), latent)
    assert isinstance(quantizer, TTQ)
    with torch.no_grad():
        for scale, value in zip(quantizer.scales(), (positive, negative), strict=True):
            scale.fill_(value)
    return quantizer


@settings(deadline=None, max_examples=100)
@given(st.booleans().flatmap(lambda ties: weights(ties=ties)), thresholds, scales, scales)
def test_values_and_latent_gradients(latent: Tensor, t: float, p: float, n: float) -> None:
    w, g = latent.numpy(), pull(latent)
    quantizer = with_scales(latent, p, n, threshold=t)
    np.testing.assert_array_equal(quantizer(latent).detach(), eq6(w, t, p, n))
    (of_latent,) = gradients(quantizer, latent, g)
    np.testing.assert_allclose(of_latent, eq8(g, w, t, p, n), atol=1e-12)


@settings(deadline=None, max_examples=50)
@given(weights(), thresholds, scales, scales, st.sampled_from(["layer", "filter"]))
def test_scale_gradients_are_the_derivatives(
    latent: Tensor, t: float, p: float, n: float, granularity: str
) -> None:
    quantizer = with_scales(latent, p, n, threshold=t, granularity=granularity)
    g = pull(latent)
    _, *found = gradients(quantizer, latent, g, *quantizer.scales())
    for scale, gradient in zip(quantizer.scales(), found, strict=True):
        np.testing.assert_allclose(
            gradient, numeric_gradient(quantizer, latent, g, scale), atol=1e-6
        )


@settings(deadline=None, max_examples=100)
@given(st.booleans().flatmap(lambda ties: weights(ties=ties)), st.floats(0, 0.999))
def test_sparsity_is_exact_and_takes_the_smallest(latent: Tensor, sparsity: float) -> None:
    quantizer = TTQ(sparsity=sparsity)
    codes = quantizer.codes(latent)
    zero = codes == 0
    assert zero.sum() == round(sparsity * latent.numel())
    assert torch.equal(codes, torch.where(zero, 0, torch.where(latent < 0, -1, 1)))
    if zero.any() and not zero.all():
        assert latent[zero].abs().max() <= latent[~zero].abs().min()


LATENT = torch.tensor([[-1.0, -0.5, -0.2, 0.0, 0.2, 0.5, 0.9]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"threshold": 0.5}, [-3, 0, 0, 0, 0, 0, 2]),
        ({"threshold": 0.5, "tie": "unit"}, [-3, -1, 0, 0, 0, 1, 2]),
        ({"threshold": 0.0}, [-3, -3, -3, 0, 2, 2, 2]),
        ({"threshold": 0.5, "normalize": "max"}, [-3, 0, 0, 0, 0, 0, 2]),
        # tanh compresses large weights: 0.5 is now more than half of the largest.
        ({"threshold": 0.5, "tanh": True}, [-3, -3, 0, 0, 0, 2, 2]),
        ({"sparsity": 3 / 7}, [-3, -3, 0, 0, 0, 2, 2]),
        # Among equally small weights, the first in memory becomes zero.
        ({"sparsity": 2 / 7}, [-3, -3, 0, 0, 2, 2, 2]),
    ],
)
def test_options_of_the_forward_pass(options: dict[str, Any], expected: list[float]) -> None:
    assert with_scales(LATENT, 2, 3, **options)(LATENT).tolist() == [expected]


def test_statistics_tell_the_signs_apart() -> None:
    latent = LATENT[:, 1:]
    assert with_scales(latent, 2, 3, threshold=0.3).statistics(latent) == pytest.approx(
        {"negative": 1 / 6, "zero": 3 / 6, "positive": 2 / 6,
         "positive_scale": 2, "negative_scale": 3}
    )  # fmt: skip


def test_options_of_the_backward_pass() -> None:
    g = pull(LATENT)

    def latent_gradient(**options: Any) -> Array:
        return gradients(with_scales(LATENT * 4, 2, 3, threshold=0.3, **options), LATENT * 4, g)[0]

    scaled = g * [[3, 3, 1, 1, 1, 2, 2]]
    np.testing.assert_allclose(latent_gradient(), scaled)
    np.testing.assert_allclose(latent_gradient(latent_gradient="straight_through"), g)
    np.testing.assert_allclose(latent_gradient(normalize="max"), scaled / 4)
    slope = 1 - np.tanh(4 * LATENT.numpy()) ** 2
    squashed = g * [[3, 3, 3, 1, 2, 2, 2]] * slope
    np.testing.assert_allclose(latent_gradient(tanh=True), squashed)


def test_tied_scales_are_one_parameter_with_both_gradients() -> None:
    g = pull(LATENT)
    tied = ready(partial(TTQ, tied_scales=True), LATENT)
    (scale,) = tied.parameters()
    free = ready(TTQ, LATENT)
    _, of_tied = gradients(tied, LATENT, g, scale)
    _, of_positive, of_negative = gradients(free, LATENT, g, *free.parameters())
    np.testing.assert_allclose(of_tied, of_positive + of_negative)


def test_positive_scales_are_held_up_on_request_only() -> None:
    for held, smallest in ((True, 1e-3), (False, -0.5)):
        quantizer = with_scales(LATENT, -0.5, -0.5, positive_scales=held)
        with torch.no_grad():
            quantizer.after_step(LATENT)
        assert [scale.item() for scale in quantizer.scales()] == [smallest, smallest]


# Ports known to be wrong.


def test_the_sign_as_printed_climbs_the_loss() -> None:
    """A step against the gradient of W_n lowers the loss; with Eq. 7 as printed it raises it."""
    g = pull(LATENT)
    changes = {}
    for rule in ("true", "as_printed"):
        quantizer = with_scales(LATENT, 1, 1, threshold=0.3, negative_gradient=rule)
        negative = quantizer.scales()[1]
        before = (quantizer(LATENT).detach().numpy() * g).sum()
        _, gradient = gradients(quantizer, LATENT, g, negative)
        with torch.no_grad():
            negative -= 0.1 * torch.from_numpy(gradient)
        changes[rule] = (quantizer(LATENT).detach().numpy() * g).sum() - before
    assert changes["true"] < -0.01
    assert changes["as_printed"] == pytest.approx(-changes["true"])


def test_the_mean_of_a_filter_counts_its_own_weights() -> None:
    """One weight of the first filter is positive, three of the second."""
    latent = torch.tensor([[1.0, -1, -1, -1], [1, 1, 1, -1]], dtype=torch.float64)
    total, mean = (
        gradients(quantizer, latent, np.ones((2, 4)), quantizer.positive_scale)[1]
        for quantizer in (
            ready(partial(TTQ, granularity="filter", reduction=r), latent) for r in ("sum", "mean")
        )
    )
    np.testing.assert_allclose(total.ravel(), [1, 3])
    np.testing.assert_allclose(mean.ravel(), [1, 1])


def test_the_mean_of_a_tied_scale_is_over_the_weights_of_both_signs() -> None:
    latent, g = LATENT[:, 1:], pull(LATENT[:, 1:])
    total, mean = (
        gradients(quantizer, latent, g, *quantizer.parameters())[1]
        for quantizer in (
            ready(partial(TTQ, 0.3, tied_scales=True, reduction=r), latent) for r in ("sum", "mean")
        )
    )
    codes = TTQ(0.3).codes(latent)
    assert (codes > 0).sum() != (codes < 0).sum(), "as equal counts hide a mean of means"
    np.testing.assert_allclose(mean, total / (codes != 0).sum().item())


def test_the_mean_reduction_counts_beyond_the_range_of_float16() -> None:
    latent = torch.linspace(0.5, 1, 70_000, dtype=torch.float16, requires_grad=True)
    quantizer = TTQ(reduction="mean").half()
    quantizer(latent[None]).backward(torch.full((1, 70_000), 0.01, dtype=torch.float16))
    assert quantizer.positive_scale.grad is not None
    assert quantizer.positive_scale.grad.item() == pytest.approx(0.01, rel=0.02)


def test_the_mean_reduction_is_too_small_by_the_number_of_weights() -> None:
    g = pull(LATENT)
    total, mean = (
        gradients(quantizer, LATENT, g, *quantizer.parameters())[1:]
        for quantizer in (ready(partial(TTQ, 0.3, reduction=r), LATENT) for r in ("sum", "mean"))
    )
    np.testing.assert_allclose([*total], np.multiply(mean, [2, 2]))


class NegativeParameterPort(nn.Module):
    """A port whose second parameter is -W_n and scales the latent gradients with that sign."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold
        self.positive = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))
        self.negative = nn.Parameter(torch.tensor(-1.0, dtype=torch.float64))

    def forward(self, latent: Tensor) -> Tensor:
        delta = self.threshold * latent.detach().abs().max()
        above, below = latent.detach() > delta, latent.detach() < -delta
        weight = torch.where(above, self.positive, torch.where(below, self.negative, 0.0))
        factor = torch.where(above, self.positive, torch.where(below, self.negative, 1.0)).detach()
        return weight + (latent - latent.detach()) * factor


def test_a_negative_parameter_flips_latent_gradients() -> None:
    g = pull(LATENT)
    ours, port = with_scales(LATENT, 1, 1, threshold=0.3), NegativeParameterPort(0.3)
    assert torch.equal(ours(LATENT), port(LATENT)), "the forward pass is the same"
    (of_ours,), (of_port,) = (gradients(q, LATENT, g) for q in (ours, port))
    below = (ours.codes(LATENT) < 0).numpy()
    assert below.any()
    np.testing.assert_allclose(of_port[below], -of_ours[below])
    np.testing.assert_allclose(of_port[~below], of_ours[~below])


# In training.


def scales_over_training(negative_gradient: str, steps: int) -> Array:
    """W_p and W_n, shape (steps, 2), under batch norm and Adam at a rate of 1e-4, without decay."""
    torch.manual_seed(1)
    network = nn.Sequential(
        nn.Linear(12, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4)
    )
    quantize_(network, partial(TTQ, negative_gradient=negative_gradient), all_but(network[3]))
    (layer,) = quantized_layers(network)
    teacher = torch.randn(12, 4)
    optimizer = torch.optim.Adam(network.parameters(), 1e-4)
    history = []
    for _ in range(steps):
        inputs = torch.randn(64, 12)
        optimizer.zero_grad()
        F.cross_entropy(network(inputs), (inputs @ teacher).argmax(1)).backward()
        optimizer.step()
        history.append([scale.item() for scale in layer.quantizer.scales()])
    return np.array(history)


def test_batch_norm_and_adam_hold_the_sum_of_the_scales() -> None:
    """The authors' AlexNet log shows the same.

    Batch norm makes the loss invariant to a common factor of all weights, so the gradients of W_p
    and W_n (of equal size at first) are opposite, and Adam takes opposite steps. With the sign as
    printed it takes the same steps for both.
    """
    true = scales_over_training("true", 1000)
    assert np.ptp(true, axis=0).min() > 0.02, "both have moved"
    assert np.abs(true.sum(1) - 2).max() < 1e-3
    assert np.abs(scales_over_training("as_printed", 300).sum(1) - 2).max() > 1e-2


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.5, 0.9])
def test_constant_sparsity_holds_in_every_layer_at_every_step(sparsity: float) -> None:
    torch.manual_seed(0)
    network = CifarResNet(8)
    quantize_(network, partial(TTQ, sparsity=sparsity))
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9, weight_decay=2e-4)
    images, labels = torch.randn(8, 3, 8, 8), torch.arange(8)
    first = {layer.name: layer.module.weight != 0 for layer in quantized_layers(network)}
    for _ in range(5):
        optimizer.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        optimizer.step()
        for layer in quantized_layers(network):
            zeros = (layer.module.weight == 0).sum()
            assert zeros == round(sparsity * layer.latent.numel()), layer.name
    if sparsity:
        now = {layer.name: layer.module.weight != 0 for layer in quantized_layers(network)}
        assert any(not torch.equal(now[name], first[name]) for name in now), "the zeros move"


# Bad input.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threshold": -0.1}, r"threshold must lie in \[0, 1\), got -0\.1"),
        ({"threshold": 1.0}, r"threshold must lie in \[0, 1\)"),
        ({"sparsity": 1.0}, r"sparsity must lie in \[0, 1\)"),
        ({"sparsity": -1e-9}, r"sparsity must lie in \[0, 1\)"),
        ({"threshold": 0.05, "sparsity": 0.5}, "got 0.05 and 0.5"),
        ({"threshold": None}, "give either threshold or sparsity, got None and None"),
        ({"threshold": float("nan")}, "threshold must be finite, got nan"),
        ({"init": float("inf")}, "init must be finite, got inf"),
        ({"negative_gradient": True}, "got True, which is not a string"),
        ({"sparsity": 0.5, "tie": "unit"}, r"tie='unit' needs a threshold"),
        ({"tie": "one"}, "tie must be one of zero, unit; got 'one'"),
        ({"negative_gradient": "wrong"}, "negative_gradient must be one of true, as_printed"),
        ({"reduction": "max"}, "reduction must be one of sum, mean"),
        ({"latent_gradient": "none"}, "latent_gradient must be one of scaled, straight_through"),
        ({"normalize": "mean"}, "normalize must be one of none, max"),
        ({"granularity": "channel"}, "granularity must be one of layer, filter"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TTQ(**arguments)


@pytest.mark.parametrize("argument", ["threshold", "sparsity", "init"])
@pytest.mark.parametrize("value", ["0.05", False])
def test_what_is_no_number_is_named(argument: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"{argument} must be a number, got {value!r}"):
        TTQ(**{argument: value})


@pytest.mark.parametrize("argument", ["tanh", "tied_scales", "positive_scales", "decay_scales"])
def test_a_word_is_no_truth_value(argument: str) -> None:
    """A command line passes `no` as a string, which is truthy in Python."""
    with pytest.raises(TypeError, match=f"{argument} must be true or false, got 'no'"):
        TTQ(**{argument: "no"})
