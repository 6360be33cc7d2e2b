"""A ternary network on real photographs: packed, folded and as ONNX, the same predictions."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tests.deploy.networks import relative_difference
from tests.deploy.test_to_onnx import run as run_onnx
from ttq_repro.deploy import Inputs, pack
from ttq_repro.deploy.format import parse, serialize
from ttq_repro.deploy.load import build
from ttq_repro.deploy.predict import read_image
from ttq_repro.deploy.to_onnx import to_onnx
from ttq_repro.files import ROOT
from ttq_repro.models import CifarResNet
from ttq_repro.quantizers import TTQ, quantize_, quantized_layers

pytestmark = pytest.mark.cifar10
ARGUMENTS = {"depth": 20, "num_classes": 10}
IMAGES_A_CLASS = 40
#: Channel statistics of the training images.
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


@pytest.fixture(scope="module")
def photographs(cifar10_root: Path) -> Tensor:
    """A few test images of each class, as the network reads them."""
    inputs = Inputs((32, 32), 1.0, MEAN, STD, ())
    folders = sorted((cifar10_root / "test").iterdir())
    files = [path for folder in folders for path in sorted(folder.iterdir())[:IMAGES_A_CLASS]]
    return torch.stack([read_image(path, inputs) for path in files])


@pytest.fixture(scope="module")
def network(photographs: Tensor) -> nn.Module:
    """The committed ResNet-20, made ternary at its own scale and its batch norms settled again."""
    (parent,) = (ROOT / "results/checkpoints/cifar10").glob(
        "resnet20-full_precision-paper-*/seed1.safetensors"
    )
    network = CifarResNet(**ARGUMENTS)
    network.load_state_dict(load_file(parent))
    quantize_(network, TTQ)
    with torch.no_grad():
        for layer in quantized_layers(network):
            codes = layer.quantizer.codes(layer.latent)
            layer.quantizer.positive_scale.copy_(layer.latent[codes == 1].mean())
            layer.quantizer.negative_scale.copy_(-layer.latent[codes == -1].mean())
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
        network(photographs)
    return network.eval()


@pytest.mark.parametrize("fold", [False, True])
def test_the_packed_network_predicts_the_same(
    network: nn.Module, photographs: Tensor, fold: bool
) -> None:
    inputs = Inputs((32, 32), 1.0, MEAN, STD, tuple("abcdefghij"))
    packed = pack(network, "CifarResNet", ARGUMENTS, inputs, fold=fold)
    with torch.no_grad():
        expected = network(photographs)
        logits = build(parse(serialize(packed, "zstd")))(photographs)
    assert len(expected.argmax(1).unique()) == 10, "the network tells the photographs apart"
    assert relative_difference(logits, expected) < 1e-5
    assert torch.equal(logits.argmax(1), expected.argmax(1))
    of_onnx = run_onnx(to_onnx(packed, "int2" if fold else "float"), photographs)
    assert relative_difference(of_onnx, expected) < 1e-5
    assert torch.equal(of_onnx.argmax(1), expected.argmax(1))
