"""From a trained network to a file and back without any change."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from tests.deploy.networks import (
    ARCHITECTURES,
    INPUTS,
    images,
    packed,
    relative_difference,
    trained,
)
from tests.quantizers.methods import METHODS
from ttq_repro.deploy import PackedNetwork, pack
from ttq_repro.deploy.bits import unpack_bits
from ttq_repro.deploy.coding import CODINGS
from ttq_repro.deploy.format import parse, serialize
from ttq_repro.deploy.loading import build, packed_weight
from ttq_repro.models import CifarResNet
from ttq_repro.quantizers import TTQ, TWN, FirstLast, quantize_, quantized_layers


def through_a_file(network: PackedNetwork, coding: str = "packed") -> PackedNetwork:
    return parse(serialize(network, coding))


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("method", METHODS)
def test_codes_and_scales_come_back_bit_for_bit(method: str, coding: str) -> None:
    network = trained(method=method)
    before = packed(network)
    if coding == "trits" and any(layer.levels != 3 for layer in before.layers):
        with pytest.raises(ValueError, match=r"trits need three levels, but blocks\.0\.conv1 has"):
            serialize(before, coding)
        return
    after = through_a_file(before, coding)
    loaded = build(after, "unpacked")
    expected = [q for q in quantized_layers(network) if q.quantizer.codes(q.latent) is not None]
    assert [layer.name for layer in after.layers] == [q.name for q in expected]
    for layer, packed_codes, original in zip(after.layers, after.codes, expected, strict=True):
        codes = original.quantizer.codes(original.latent)
        levels = original.quantizer.levels(original.latent)
        numbers = torch.tensor(sorted(levels))
        index = unpack_bits(packed_codes, layer.width)[: layer.weights].view(layer.shape)
        assert torch.equal(numbers[index.long()], codes.long())
        held = packed_weight(loaded.get_submodule(layer.name)).levels
        for column, number in enumerate(numbers.tolist()):
            assert torch.equal(held[:, column], levels[number].flatten())


@pytest.mark.parametrize("method", METHODS)
def test_the_loaded_network_computes_the_same_logits(method: str) -> None:
    network = trained(method=method)
    expected = network(images())
    unfolded = build(through_a_file(packed(network)), "unpacked")(images())
    assert torch.equal(unfolded, expected)
    folded = build(through_a_file(packed(network, fold=True)))(images())
    assert relative_difference(folded, expected) < 1e-5


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("fold", [False, True])
def test_every_architecture_computes_the_same_logits(name: str, fold: bool) -> None:
    network = trained(name)
    loaded = build(through_a_file(packed(network, name, fold=fold)), "unpacked")
    difference = relative_difference(loaded(images()), network(images()))
    assert difference < 1e-5 if fold else difference == 0


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_folding_leaves_batch_norm_where_no_layer_can_take_it(name: str) -> None:
    loaded = build(packed(trained(name), name, fold=True), "unpacked")
    left = {n for n, m in loaded.named_modules() if isinstance(m, nn.BatchNorm2d)}
    expected = {"blocks.1.preactivation.0", "blocks.2.preactivation.0", "head.0"}
    assert left == (expected if name == "preactivation" else set())
    for n in left:
        norm = loaded.get_submodule(n)
        assert not norm.running_mean.any()
        assert (norm.running_var == 1).all()
        assert norm.eps > 0
        assert (norm.running_var.double() + norm.eps == 1).all()


def test_the_same_network_gives_the_same_bytes() -> None:
    assert serialize(packed(trained())) == serialize(packed(trained()))


def test_a_wider_codebook_takes_a_wider_code() -> None:
    widths = {
        method: {layer.width for layer in packed(trained(method=method)).layers}
        for method in ("bwn", "ttq", "dorefa_2bit", "dorefa_8bit")
    }
    assert widths == {"bwn": {1}, "ttq": {2}, "dorefa_2bit": {2}, "dorefa_8bit": {8}}


def test_symmetric_levels_are_stored_once() -> None:
    sizes = {m: packed(trained(method=m)).levels[0].numel() for m in ("ttq", "twn", "seq", "bwn")}
    assert sizes == {"ttq": 2, "twn": 1, "seq": 16, "bwn": 16}


def test_weights_that_no_level_stands_for_are_an_error() -> None:
    network = CifarResNet(8)
    with torch.no_grad():
        network.blocks[0].conv2.weight.flatten()[:2] = torch.tensor([1.0, 0.5])
    quantize_(network, partial(TTQ, threshold=0.5, tie="unit", init=2.0))
    with pytest.raises(ValueError, match=r"blocks\.0\.conv2: 1 of 2304 weights match none of its"):
        pack(network, "CifarResNet", {"depth": 8}, INPUTS)


def test_a_scale_that_is_not_a_number_is_an_error() -> None:
    network = trained()
    with torch.no_grad():
        network.linear.parametrizations.weight[0].positive_scale.fill_(torch.nan)
    with pytest.raises(ValueError, match=r"^linear: not all of its weights are finite$"):
        packed(network)
    network = trained()
    with torch.no_grad():
        network.linear.bias.fill_(torch.inf)
    with pytest.raises(ValueError, match="a number in floats is not finite"):
        serialize(packed(network))


def test_options_that_no_tensor_shows_are_those_of_the_architecture() -> None:
    network = trained()
    network.blocks[0].norm.eps = 0.1
    with pytest.raises(ValueError, match=r"^blocks\.0\.norm has eps 0\.1; CifarResNet .* 1e-05$"):
        packed(network)
    network = trained()
    network.blocks[1].conv2.padding_mode = "circular"
    with pytest.raises(ValueError, match=r"^blocks\.1\.conv2 has padding_mode circular; .* zeros$"):
        packed(network)


def test_modules_without_tensors_are_those_of_the_architecture() -> None:
    network = trained("resnet18")
    activation, pool = network.stem[2:4]
    network.stem[2] = nn.GELU()
    with pytest.raises(ValueError, match=r"^stem\.2 is a GELU; ResNet18 .* needs a ReLU$"):
        packed(network, "resnet18")
    network.stem[2] = activation
    network.stem.append(nn.Tanh())
    with pytest.raises(ValueError, match=r"^the network has a module stem\.4; ResNet18 .* none$"):
        packed(network, "resnet18")
    del network.stem[4]
    pool.padding = 0
    with pytest.raises(ValueError, match=r"^stem\.3 has padding 0; ResNet18 .* needs 1$"):
        packed(network, "resnet18")


@pytest.mark.parametrize(
    ("architecture", "arguments", "message"),
    [
        ("Sequential", {}, "'Sequential' is not one of AlexNetBN, CifarResNet, ResNet18"),
        ("CifarResNet", {"depth": 9}, r"cannot be built with .*depth must be 6n \+ 2"),
        ("CifarResNet", {"width": 2}, "cannot be built with .*unexpected keyword"),
        ("CifarResNet", {"depth": "8"}, "argument depth of CifarResNet is '8'"),
        ("CifarResNet", {"depth": 8, "num_classes": 4}, r"linear\.weight has shape \(5, 64\)"),
        (
            "CifarResNet",
            {"depth": 8, "num_classes": 5, "preactivation": False},
            r"no blocks\.0\.norm1\.weight; CifarResNet with .*'preactivation': False} needs it",
        ),
        ("CifarResNet", {"depth": 14, "num_classes": 5}, r"blocks\.1\.[\w.]+ has shape"),
    ],
)
def test_another_architecture_is_an_error(
    architecture: str, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        pack(trained(), architecture, arguments, INPUTS)


@pytest.mark.parametrize("fold", [False, True])
def test_a_bias_more_or_less_is_an_error(fold: bool) -> None:
    network = trained()
    network.linear.bias = None
    with pytest.raises(ValueError, match=r"the network has no linear\.bias; CifarResNet with"):
        packed(network, fold=fold)
    network = trained()
    network.stem[0].bias = nn.Parameter(torch.ones(16))
    with pytest.raises(ValueError, match=r"has a tensor stem\.0\.bias; CifarResNet with .* none"):
        packed(network, fold=fold)


def test_ten_classes_are_what_a_network_has_by_default() -> None:
    network = CifarResNet(8)
    quantize_(network, TTQ, FirstLast())
    with pytest.raises(ValueError, match="5 class names for 10 classes"):
        pack(network, "CifarResNet", {"depth": 8}, INPUTS)
    inputs = replace(INPUTS, classes=tuple("abcdefghij"))
    made = through_a_file(pack(network, "CifarResNet", {"depth": 8}, inputs))
    assert made.inputs == inputs
    assert torch.equal(build(made, "unpacked")(images()), network(images()))


def test_what_cannot_be_read_is_not_written() -> None:
    made = packed(trained())
    with pytest.raises(ValueError, match="2 class names for 5 classes"):
        serialize(replace(made, inputs=replace(INPUTS, classes=("ant", "bee"))))
    with pytest.raises(ValueError, match=r"floats has shape \(\d+,\); CifarResNet with .* needs"):
        serialize(replace(made, floats=made.floats[1:]))


def test_float_layers_stay_float() -> None:
    network = CifarResNet(8, num_classes=5)
    quantize_(network, TWN, FirstLast(quantize_last=False))
    made = packed(network)
    assert "linear" not in {layer.name for layer in made.layers}
    loaded = build(through_a_file(made), "unpacked")
    assert torch.equal(loaded.linear.weight, network.linear.weight)
    assert torch.equal(loaded.stem[0].weight, network.stem[0].weight)
