"""Deep Compression: its stages, k-means and gradients, and that no stage is entered twice."""

from __future__ import annotations

import copy
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
from tests.quantizers.methods import decode
from ttq_repro.models import CifarResNet
from ttq_repro.quantizers import DeepCompression, on_epoch_start, quantize_, quantized_layers
from ttq_repro.quantizers.deep_compression import CLUSTERED, DENSE, PRUNED, kmeans

DENSITIES = st.floats(0.01, 1)


def at(epoch: int, latent: Tensor, **options: Any) -> DeepCompression:
    """The quantizer of a layer in epoch ``epoch`` of 4."""
    quantizer = ready(partial(DeepCompression, **options), latent)
    assert isinstance(quantizer, DeepCompression)
    with torch.no_grad():
        for passed in range(epoch + 1):
            quantizer.on_epoch_start(latent, passed, 4)
    return quantizer


def lloyd(values: Array, clusters: int) -> Array | None:
    """The centroid that k-means assigns to each value, starting evenly spaced, by brute force.

    The centroid of an empty cluster moves to the value farthest from its own centroid, as in
    scikit-learn. None if two values are equally far, as in a cluster of two: rounding would decide.
    """
    centroids = np.linspace(values.min(), values.max(), clusters)
    while True:
        nearest = np.abs(values[:, None] - centroids).argmin(1)
        moved = centroids.copy()
        empty = []
        for k in range(clusters):
            if (nearest == k).any():
                moved[k] = values[nearest == k].mean()
            else:
                empty.append(k)
        distance = np.abs(values - moved[nearest])
        farthest = np.argsort(-distance, kind="stable")
        last = len(empty)
        if 0 < last < len(values) and np.isclose(*distance[farthest[last - 1 : last + 1]]):
            return None
        moved[empty] = values[farthest[: len(empty)]]
        moved.sort()
        if np.allclose(moved, centroids, atol=0, rtol=1e-12):
            return centroids[nearest]
        centroids = moved


# Pruning.


@settings(deadline=None, max_examples=50)
@given(st.booleans().flatmap(lambda ties: weights(ties=ties)), DENSITIES)
def test_the_density_is_exact_and_the_largest_stay(latent: Tensor, density: float) -> None:
    quantizer = at(0, latent, density=density)
    kept = quantizer.kept
    assert kept.sum() == max(1, round(density * latent.numel()))
    assert torch.equal(quantizer(latent), torch.where(kept, latent, 0))
    if not kept.all():
        assert latent[~kept].abs().max() <= latent[kept].abs().min()


def test_only_what_is_kept_is_retrained() -> None:
    latent = torch.randn(4, 3, 3, 3, dtype=torch.float64)
    quantizer = at(0, latent)
    g = pull(latent)
    of_latent, of_codebook = gradients(quantizer, latent, g, quantizer.codebook)
    np.testing.assert_array_equal(of_latent, g * quantizer.kept.numpy())
    assert not of_codebook.any()


# Clustering.


@settings(deadline=None, max_examples=25)
@given(weights(), DENSITIES, st.sampled_from([2, 3, 4]))
def test_clustered_values_are_those_of_k_means(latent: Tensor, density: float, bits: int) -> None:
    quantizer = at(3, latent, density=density, conv_bits=bits)
    found = quantizer(latent).detach()
    kept = quantizer.kept
    assert not found[~kept].any()
    assert len(found.unique()) <= 2**bits
    if kept.sum() >= 2**bits:  # otherwise each weight is its own centroid, in any order
        expected = lloyd(latent[kept].numpy(), 2**bits - 1)
        if expected is not None:
            np.testing.assert_allclose(found[kept], expected, rtol=1e-6)
        values, centroids = latent[kept], found[kept].unique()
        apart = (values[:, None] - centroids).abs().min(1).values
        slack = 1e-6 * values.abs().max()
        assert ((values - found[kept]).abs() <= apart + slack).all(), "each has the nearest one"
        for centroid in centroids:
            mean = values[found[kept] == centroid].mean()
            assert (mean - centroid).abs() <= slack, "which is the mean of those that have it"
    else:
        torch.testing.assert_close(found[kept], latent[kept])


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.floats(-10, 10, width=16), min_size=1, max_size=60),
    st.integers(1, 20),
)
def test_k_means_ends_where_nothing_can_be_better_placed(
    numbers: list[float], clusters: int
) -> None:
    values = torch.tensor(sorted(numbers), dtype=torch.float64)
    centroids, sizes = kmeans(values, clusters)
    assert sizes.sum() == len(values)
    assert torch.equal(centroids, centroids.sort().values)
    own = centroids.repeat_interleave(sizes)
    distances = (values[:, None] - centroids).abs()
    torch.testing.assert_close((values - own).abs(), distances.min(1).values)
    for group, centroid in zip(values.split(sizes.tolist()), centroids, strict=True):
        if len(group):
            torch.testing.assert_close(centroid, group.mean())
    if len(set(numbers)) <= clusters:
        torch.testing.assert_close(own, values)


def test_bits_go_by_the_kind_of_layer() -> None:
    torch.manual_seed(0)
    convolution, linear = torch.randn(30, 30, 3, 3), torch.randn(100, 100)
    assert at(3, convolution)(convolution).unique().numel() == 2**8
    assert at(3, linear)(linear).unique().numel() == 2**5


def test_a_centroids_gradient_is_the_sum_over_its_weights() -> None:
    torch.manual_seed(0)
    latent = torch.randn(6, 5, 3, 3, dtype=torch.float64)
    quantizer = at(3, latent, conv_bits=3).double()
    g = pull(latent)
    of_latent, of_codebook = gradients(quantizer, latent, g, quantizer.codebook)
    assert not of_latent.any()
    np.testing.assert_allclose(
        of_codebook, numeric_gradient(quantizer, latent, g, quantizer.codebook), atol=1e-6
    )
    values = quantizer(latent).detach().numpy()
    sums = [g[values == centroid].sum() for centroid in quantizer.codebook.tolist()]
    np.testing.assert_allclose(of_codebook, sums)
    counts = [(values == centroid).sum() for centroid in quantizer.codebook.tolist()]
    means = np.divide(sums, counts)
    assert not np.allclose(of_codebook, means), "the port that takes a mean is another method"


def test_codes_keep_their_order_when_centroids_cross_zero_and_each_other() -> None:
    torch.manual_seed(0)
    latent = torch.randn(6, 5, 3, 3)
    quantizer = at(3, latent, conv_bits=3)
    with torch.no_grad():
        quantizer.codebook.copy_(torch.tensor([0.3, -0.2, 0.1, -0.1, -0.4, 0.2, 0.5]))
    levels = quantizer.levels(latent)
    assert levels is not None
    ordered = [levels[code].item() for code in sorted(levels)]
    assert ordered == sorted(ordered)
    assert sorted(levels) == [-3, -2, -1, 0, 1, 2, 3, 4]
    assert torch.equal(decode(quantizer, latent), quantizer(latent))


# Stages.


@pytest.mark.parametrize(
    ("shares", "epochs", "stages"),
    [
        ((0.0, 0.75), 4, [PRUNED, PRUNED, PRUNED, CLUSTERED]),
        ((0.0, 0.75), 1, [CLUSTERED]),
        ((0.0, 0.75), 2, [PRUNED, CLUSTERED]),
        ((0.5, 0.75), 4, [DENSE, DENSE, PRUNED, CLUSTERED]),
        ((0.4, 0.4), 5, [DENSE, DENSE, CLUSTERED, CLUSTERED, CLUSTERED]),
        ((0.0, 0.75), 160, [PRUNED] * 120 + [CLUSTERED] * 40),
    ],
)
def test_stages(shares: tuple[float, float], epochs: int, stages: list[int]) -> None:
    latent = torch.randn(4, 3, 3, 3)
    prune_at, cluster_at = shares
    quantizer = ready(partial(DeepCompression, prune_at=prune_at, cluster_at=cluster_at), latent)
    seen, names = [], set()
    for epoch in range(epochs):
        with torch.no_grad():
            quantizer.on_epoch_start(latent, epoch, epochs)
        statistics = quantizer.statistics(latent)
        names.add(tuple(statistics))
        seen.append(statistics["stage"])
        assert (quantizer.codes(latent) is None) == (seen[-1] != CLUSTERED)
        if seen[-1] >= PRUNED:
            assert statistics["zero"] == pytest.approx(0.6, abs=1 / latent.numel())
    assert seen == stages
    assert names == {("negative", "zero", "positive", "stage", "distinct_values")}


def test_each_stage_is_entered_once() -> None:
    """However training has changed the weights since."""
    torch.manual_seed(0)
    latent = torch.randn(4, 5, 3, 3)
    quantizer = at(0, latent, cluster_at=0.5)
    kept = quantizer.kept.clone()
    with torch.no_grad():
        quantizer.on_epoch_start(torch.randn(4, 5, 3, 3), 1, 4)
        assert torch.equal(quantizer.kept, kept)
        quantizer.on_epoch_start(latent, 2, 4)
        codes = quantizer.codes(latent)
        trained = quantizer.codebook.mul_(1.1).clone()
        quantizer.on_epoch_start(torch.randn(4, 5, 3, 3), 3, 4)
    assert torch.equal(quantizer.kept, kept)
    assert torch.equal(quantizer.codebook, trained)
    assert torch.equal(quantizer.codes(latent), codes)


def train(network: nn.Module, epochs: range, total: int = 4) -> None:
    """Two steps per epoch of stateless SGD, which can resume from the weights alone."""
    optimizer = torch.optim.SGD(network.parameters(), 0.02, weight_decay=2e-4)
    for epoch in epochs:
        torch.manual_seed(epoch)
        on_epoch_start(quantized_layers(network), epoch, total)
        for _ in range(2):
            images, labels = torch.randn(8, 3, 8, 8), torch.randint(0, 10, (8,))
            optimizer.zero_grad()
            F.cross_entropy(network(images), labels).backward()
            optimizer.step()


def test_density_and_values_hold_in_a_network_through_training() -> None:
    torch.manual_seed(0)
    network = CifarResNet(8)
    quantize_(network, partial(DeepCompression, density=0.3, conv_bits=4, fc_bits=3))
    before = {}
    for epoch in range(4):
        train(network, range(epoch, epoch + 1))
        for layer in quantized_layers(network):
            weight = layer.module.weight.detach()
            density = (weight != 0).float().mean().item()
            assert density == pytest.approx(0.3, rel=0.01), layer.name
            if epoch == 3:
                bits = 3 if layer.name == "linear" else 4
                assert len(weight.unique()) <= 2**bits
                assert not torch.equal(layer.quantizer.codebook, before[layer.name])
        if epoch == 2:
            twin = copy.deepcopy(network)
            on_epoch_start(quantized_layers(twin), 3, 4)
            for layer in quantized_layers(twin):
                before[layer.name] = layer.quantizer.codebook


@pytest.mark.parametrize("killed_after", [0, 1, 2])
def test_a_resumed_run_prunes_and_clusters_as_if_never_killed(killed_after: int) -> None:
    """Killed before pruning, between the stages, or after clustering."""

    def network() -> nn.Module:
        torch.manual_seed(0)
        made = CifarResNet(8)
        quantize_(made, partial(DeepCompression, prune_at=0.25, cluster_at=0.5))
        return made

    undisturbed = network()
    train(undisturbed, range(4))
    killed = network()
    train(killed, range(killed_after + 1))
    resumed = network()
    resumed.load_state_dict(killed.state_dict())
    train(resumed, range(killed_after + 1, 4))
    for name, value in undisturbed.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_the_stage_reaches_a_compiled_network() -> None:
    torch._dynamo.reset()
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten())
    quantize_(network, partial(DeepCompression, conv_bits=3))
    eager = copy.deepcopy(network)
    network.compile(backend="aot_eager")
    images = torch.randn(2, 3, 8, 8)
    outputs: list[Tensor] = []
    for epoch in range(4):
        for copied in (network, eager):
            on_epoch_start(quantized_layers(copied), epoch, 4)
        outputs.append(network(images))
        torch.testing.assert_close(outputs[-1], eager(images))
    assert torch.equal(outputs[0], outputs[2])
    assert not torch.equal(outputs[2], outputs[3])


@pytest.mark.parametrize("share", [0.0, 0.29, 0.5, 0.57, 0.75])
@pytest.mark.parametrize("epochs", [4, 30, 100])
def test_a_stage_begins_with_the_epoch_in_which_its_share_is_over(
    share: float, epochs: int
) -> None:
    latent = torch.randn(4, 5, 3, 3)
    quantizer = DeepCompression(prune_at=share, cluster_at=share)
    quantizer.initialize(latent)
    for epoch in range(epochs):
        with torch.no_grad():
            quantizer.on_epoch_start(latent, epoch, epochs)
        begun = 100 * (epoch + 1) > round(100 * share) * epochs
        assert (quantizer.stage > 0) == begun, epoch


def test_a_density_that_is_no_number_is_named() -> None:
    with pytest.raises(TypeError, match=r"density must be a number, got '0\.4'"):
        DeepCompression(density="0.4")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"density": 0.0}, r"density must lie in \(0, 1\], got 0\.0"),
        ({"density": 1.1}, r"density must lie in \(0, 1\]"),
        ({"density": float("nan")}, "density must be finite, got nan"),
        ({"conv_bits": 8.0}, r"conv_bits must be a whole number from 2 to 8, got 8\.0"),
        ({"conv_bits": 1}, "conv_bits must be a whole number from 2 to 8, got 1"),
        ({"fc_bits": 2.5}, r"fc_bits must be a whole number from 2 to 8, got 2\.5"),
        ({"prune_at": 1.0}, r"prune_at must lie in \[0, 1\)"),
        ({"cluster_at": -0.1}, r"cluster_at must lie in \[0, 1\)"),
        ({"prune_at": 0.5, "cluster_at": 0.2}, r"cluster_at=0\.2 lies before prune_at=0\.5"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DeepCompression(**arguments)
