"""Converting models that are none of ours."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_model, save_model
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torchvision.models import resnet18

from tests.deploy.networks import images, relative_difference, settle
from tests.quantizers.methods import METHODS
from ttq_repro.deploy import convert_
from ttq_repro.deploy.loading import packed_weight
from ttq_repro.deploy.runtime.layers import PackedConv2d, PackedLinear
from ttq_repro.quantizers import TTQ, TWN, quantize_, quantized_layers


class Mixed(nn.Module):
    """Layers that the operators cover and layers that they do not, one of them used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 20, 3, padding=1)
        self.grouped = nn.Conv2d(20, 20, 3, padding=1, groups=4, bias=False)
        self.dilated = nn.Conv2d(20, 20, 3, padding=2, dilation=2)
        self.over_channels = nn.Conv1d(20, 7, 1)
        self.linear = nn.Linear(7, 7)
        self.again = self.linear

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.dilated(torch.relu(self.grouped(self.stem(x)))))
        x = self.over_channels(x.flatten(2)).mean(2)
        return self.again(torch.relu(self.linear(x)))


def mixed(method: str = "ttq", seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    model = Mixed()
    settle(model, METHODS[method])
    return model


def test_resnet18_of_torchvision_takes_two_bits_and_computes_the_same() -> None:
    torch.manual_seed(0)
    model = resnet18(num_classes=10)
    settle(model, partial(TTQ, sparsity=0.5))
    seen = images(2, side=64)
    expected = model(seen)
    floats = sum(layer.latent.nbytes for layer in quantized_layers(model))
    names = [layer.name for layer in quantized_layers(model)]
    assert convert_(model) == names
    assert relative_difference(model(seen), expected) < 1e-5
    held = [m for m in model.modules() if isinstance(m, PackedConv2d | PackedLinear)]
    assert len(held) == len(names) == 20
    # The ten filters of the last layer fill a block of 16.
    assert sum(layer.words.nbytes for layer in held) == pytest.approx(floats / 16, rel=1e-3)
    assert not quantized_layers(model)
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_autocast_has_no_effect_on_packed_layers() -> None:
    model = mixed()
    convert_(model)
    for layer, seen in (
        (model.linear, torch.randn(2, 7)), (model.grouped, torch.randn(2, 20, 5, 5)),
    ):  # fmt: skip
        assert isinstance(layer, PackedConv2d | PackedLinear)
        expected = layer(seen)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(layer(seen), expected)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_computes_the_same(method: str) -> None:
    model = mixed(method)
    expected = model(images())
    evaluates_with_codes = [
        layer.name
        for layer in quantized_layers(model)
        if layer.quantizer.codes(layer.latent) is not None
    ]
    assert convert_(model) == evaluates_with_codes
    assert relative_difference(model(images()), expected) < 1e-5
    assert not quantized_layers(model)


def test_layers_that_the_operators_do_not_cover_hold_codes() -> None:
    model = mixed()
    assert convert_(model) == ["grouped", "dilated", "over_channels", "linear"]
    assert isinstance(model.stem, nn.Conv2d)
    assert isinstance(model.grouped, PackedConv2d)
    for layer in (model.dilated, model.over_channels):
        assert packed_weight(layer) is not None
        assert layer.parametrizations.weight.original.dtype == torch.uint8


def test_a_layer_of_two_names_stays_one() -> None:
    model = mixed()
    convert_(model)
    assert isinstance(model.linear, PackedLinear)
    assert model.again is model.linear


class Doubled(nn.Linear):
    """A layer that computes something of its own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


def test_modules_that_use_weights_in_their_own_way_compute_the_same() -> None:
    """In evaluation, torch's transformer reads weights of layers instead of calling them."""
    torch.manual_seed(0)
    transformer = nn.TransformerEncoderLayer(16, nhead=2, dim_feedforward=24, batch_first=True)
    model = nn.Sequential(transformer, Doubled(16, 8))
    settle(model, TTQ)
    seen = torch.randn(2, 5, 16)
    expected = model(seen)
    assert convert_(model) == ["0.linear1", "0.linear2", "1"]
    assert isinstance(transformer.linear1, PackedLinear)
    assert isinstance(model[1], Doubled)
    torch.testing.assert_close(model(seen), expected, rtol=1e-4, atol=1e-4)


def test_packed_layers_have_the_attributes_of_torchs() -> None:
    model = mixed()
    names = {"grouped": nn.Conv2d.__constants__, "linear": nn.Linear.__constants__}
    expected = {
        (layer, name): getattr(getattr(model, layer), name)
        for layer in names
        for name in names[layer]
    }
    convert_(model)
    assert (type(model.grouped), type(model.linear)) == (PackedConv2d, PackedLinear)
    for (layer, name), value in expected.items():
        assert getattr(getattr(model, layer), name) == value, name


def test_packed_layers_have_a_weight() -> None:
    model = mixed()
    dense = {name: getattr(model, name).weight for name in ("grouped", "linear")}
    convert_(model)
    for name, weight in dense.items():
        torch.testing.assert_close(getattr(model, name).weight, weight)


def test_deep_compression_is_read_back_from_the_quantized_model() -> None:
    model, other = mixed("deep_compression"), Mixed()
    state = copy.deepcopy(model.state_dict())
    convert_(model)
    quantize_(other, METHODS["deep_compression"])
    other.load_state_dict(state)
    assert convert_(other) == ["grouped", "dilated", "over_channels", "linear"]
    assert torch.equal(other(images()), model(images()))


@pytest.mark.parametrize("method", [one for one in METHODS if "deep" not in one])
def test_a_saved_model_is_read_back(method: str, tmp_path: Path) -> None:
    model, path = mixed(method), tmp_path / "model.safetensors"
    convert_(model)
    save_model(model, str(path))
    # As users build it: with initial scales, which are equal.
    other = Mixed()
    quantize_(other, METHODS[method])
    convert_(other)
    load_model(other, path)
    assert torch.equal(other(images()), model(images()))


def test_a_state_of_other_layers_is_an_error() -> None:
    model, other = (
        nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)),
        nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 9)),
    )
    for one in (model, other):
        quantize_(one, TTQ)
        convert_(one)
    with pytest.raises(RuntimeError, match=r"size mismatch for 1\.scales"):
        model.load_state_dict(other.state_dict())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("dtype", "rounding"), [(torch.float64, 1e-6), (torch.bfloat16, 2e-2), (torch.float16, 4e-3)]
)
def test_a_model_of_another_type_computes_in_it(
    dtype: torch.dtype, rounding: float, method: str
) -> None:
    quantized_after, seen = Mixed().to(dtype), images().to(dtype)
    settle(quantized_after, METHODS[method])
    for model in (mixed(method).to(dtype), quantized_after):
        expected = model(seen)
        convert_(model)
        assert model(seen).dtype == dtype
        assert relative_difference(model(seen).double(), expected.double()) < rounding


def test_a_model_that_was_copied_goes_on() -> None:
    """Such as one whose copy is converted for a test, or whose weights are averaged."""
    model = mixed("ternary_connect")
    settled = mixed("ttq")
    for one in (model, settled):
        before, average = copy.deepcopy(one.state_dict()), AveragedModel(one)
        expected = one(images())
        convert_(copy.deepcopy(one))
        assert torch.equal(one(images()), expected)
        assert torch.equal(average(images()), expected)
        assert before.keys() == one.state_dict().keys()
        one.train()(images()).sum().backward()


class Viewing(nn.Module):
    """A model that depends on the memory format."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3)
        self.linear = nn.Linear(8 * 4 * 4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(torch.relu(self.stem(x)))
        return self.linear(x.view(len(x), -1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("count", [1, 3])
def test_images_keep_their_memory_format(count: int, dtype: torch.dtype) -> None:
    model, seen = Viewing().to(dtype), torch.randn(count, 1, 8, 8, dtype=dtype)
    settle(model, TTQ)
    expected = model(seen)
    convert_(model)
    assert relative_difference(model(seen), expected) < 1e-5
    x = torch.randn(count, 8, 6, 6, dtype=dtype).to(memory_format=torch.channels_last)
    assert model.conv(x).is_contiguous(memory_format=torch.channels_last)


def test_a_single_image_needs_no_batch() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 8, 3), nn.Flatten(-2))
    settle(model, TTQ)
    (image,) = images(1)
    expected = model(image)
    convert_(model)
    assert model(image).shape == expected.shape
    assert relative_difference(model(image), expected) < 1e-5


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool, torch.complex64])
def test_an_input_that_is_no_float_is_an_error(dtype: torch.dtype) -> None:
    model = mixed()
    convert_(model)
    for layer, shape in ((model.grouped, (2, 20, 5, 5)), (model.linear, (2, 7))):
        with pytest.raises(TypeError, match=r"the input is torch\..*, but must be floating point"):
            layer(torch.ones(shape, dtype=dtype))


def test_what_cannot_be_converted_is_named() -> None:
    with pytest.raises(ValueError, match=r"^no layer of Linear is quantized$"):
        convert_(nn.Linear(2, 2))
    layer = nn.Linear(2, 2)
    quantize_(nn.Sequential(nn.Linear(2, 2), layer), TTQ)
    with pytest.raises(ValueError, match="the model is itself a layer"):
        convert_(layer)


def test_after_an_error_all_layers_are_as_they_were() -> None:
    class Wrong(TWN):
        def codes(self, latent: torch.Tensor) -> torch.Tensor:
            return torch.zeros_like(latent, dtype=torch.int8)

    model = mixed()
    last = quantized_layers(model)[-1]
    last.module.parametrizations["weight"][0] = Wrong()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=r"^linear: \d+ of 49 weights match none of its levels$"):
        convert_(model)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
