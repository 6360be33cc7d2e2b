"""Whole networks that compute with packed weights, and the layers that do not."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from tests.deploy.networks import (
    ARCHITECTURES,
    images,
    packed,
    relative_difference,
    trained,
)
from tests.quantizers.methods import FLOAT, METHODS
from ttq_repro.deploy import loading
from ttq_repro.deploy.loading import build, packed_weight
from ttq_repro.deploy.packed import Layer
from ttq_repro.deploy.runtime import covers, layers, runtime
from ttq_repro.deploy.runtime.codes import Codes, dense_linear
from ttq_repro.deploy.runtime.layers import PackedConv2d, PackedLinear, packed_layer

#: Terms (see codes.Codes) per layer of each method; methods without an entry need one.
TERMS = {"ttq_per_filter": 2}
#: Of the logits; AMX computes three bfloat16 products in place of one in float32.
ROUNDING = 1e-5 if (found := runtime()) and found.kernel == "amx" else 2e-6
#: Methods with more than four levels.
TOO_MANY = {"dorefa_8bit", "deep_compression"}


def packed_layers(network: nn.Module) -> list[PackedLinear | PackedConv2d]:
    return [m for m in network.modules() if isinstance(m, PackedLinear | PackedConv2d)]


@pytest.mark.parametrize("fold", [False, True])
@pytest.mark.parametrize("method", sorted(METHODS.keys() - FLOAT))
def test_every_method_computes_the_same_packed(method: str, fold: bool) -> None:
    made = packed(trained(method=method), fold=fold)
    network = build(made, "packed")
    layers = packed_layers(network)
    assert len(layers) == (0 if method in TOO_MANY else len(made.layers))
    assert {len(layer.levels) for layer in layers} <= {TERMS.get(method, 1)}
    expected = build(made, "unpacked")(images())
    assert relative_difference(network(images()), expected) < ROUNDING


@pytest.mark.parametrize("fold", [False, True])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_computes_the_same_packed(name: str, fold: bool) -> None:
    made = packed(trained(name), name, fold=fold)
    expected = build(made, "unpacked")(images())
    assert relative_difference(build(made, "packed")(images()), expected) < ROUNDING


@pytest.mark.parametrize("fold", [False, True])
def test_other_precisions_and_copies_compute_the_same(fold: bool) -> None:
    network = build(packed(trained(), fold=fold), "packed")
    expected = network(images())
    assert torch.equal(pickle.loads(pickle.dumps(network))(images()), expected)
    double = copy.deepcopy(network).double()(images().double())
    assert relative_difference(double.float(), expected) < ROUNDING
    assert double.dtype == torch.float64


def test_on_a_gpu_convolutions_keep_a_dense_weight_that_goes_nowhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As far as this can be tested without a GPU."""
    network = build(packed(trained(), fold=True), "packed")
    expected = network(images())
    keys = network.state_dict().keys()
    monkeypatch.setattr(layers, "_is_for_cudnn", lambda _: True)
    convolutions = [m for m in network.modules() if isinstance(m, PackedConv2d)]
    for _ in range(2):
        assert relative_difference(network(images()), expected) < ROUNDING
    kept = [layer._dense for layer in convolutions]
    network(images())
    assert [layer._dense for layer in convolutions] == kept, "made again"
    assert network.state_dict().keys() == keys
    assert all(layer._dense is None for layer in copy.deepcopy(convolutions))
    network.load_state_dict(network.state_dict())
    assert all(layer._dense is None for layer in convolutions)
    network(images())
    network.double()
    assert all(layer._dense is None for layer in convolutions)


def test_a_weight_takes_two_bits_in_memory() -> None:
    made = packed(trained("resnet18"), "resnet18")
    words = sum(layer.words.nbytes for layer in packed_layers(build(made, "packed")))
    # Layers are padded to a multiple of 16 filters, here only the one of 5 classes.
    assert 8 * words <= 2.05 * sum(layer.weights for layer in made.layers)


def test_a_folded_factor_does_not_change_what_codes_stand_for() -> None:
    (first, *_) = packed_layers(build(packed(trained(), fold=True), "packed"))
    assert first.levels.shape == (1, 4)
    assert first.levels[0, 1] == first.levels[0, 3] == 0


def test_on_a_gpu_there_are_gradients_after_a_call_in_inference_mode(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A CPU stands in for it."""
    network, x = build(packed(trained()), "packed"), images()
    monkeypatch.setattr(layers, "_is_for_cudnn", lambda _: True)
    monkeypatch.setattr(layers, "LINEAR", lambda x, *codes: dense_linear(x, Codes(*codes)))
    with torch.inference_mode():
        network(x)
    network(x.requires_grad_()).sum().backward()
    assert x.grad is not None
    assert x.grad.any()


@pytest.mark.parametrize("level", [0.0, 1e-43, 1e-30])
def test_levels_next_to_zero_are_numbers(level: float) -> None:
    """Also in units in which they are sums of two bfloat16 numbers."""
    levels = torch.tensor([[-level, 0.0, level]])
    layer = packed_layer(
        nn.Linear(4, 1), replace(LAYER, shape=(1, 4)), torch.tensor([0b10_00_10_10]).byte(),
        levels, None,
    )  # fmt: skip
    assert layer.codes.unpacked().sum().item() == pytest.approx(2 * level, abs=2e-38)


LAYER = Layer("x", "TTQ", (4, 4, 3, 3), 1, True, 1, False, False)


@pytest.mark.parametrize(
    ("module", "layer"),
    [
        (nn.Conv2d(4, 4, 3, dilation=2), LAYER),
        (nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), LAYER),
        (nn.Conv2d(4, 4, 3, padding="same"), LAYER),
        (nn.Conv1d(4, 4, 3), LAYER),
        (nn.Conv2d(4, 4, 3), replace(LAYER, upper=3)),
    ],
)
def test_layers_that_the_runtime_does_not_cover(module: nn.Module, layer: Layer) -> None:
    assert not covers(module, layer)
    assert covers(nn.Conv2d(4, 4, 3, 2, 1, groups=2), LAYER)


@pytest.mark.parametrize(("kernel", "stays"), [("avx2", True), ("portable", False), (None, False)])
def test_auto_stays_packed_where_there_are_vector_instructions(
    kernel: str | None, stays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = SimpleNamespace(kernel=kernel) if kernel else None
    monkeypatch.setattr(loading, "runtime", lambda: found)
    network = build(packed(trained()))
    assert bool(packed_layers(network)) == stays
    assert any(packed_weight(module) for module in network.modules()) != stays
