"""A ternary network predicts the same on real images when packed, folded or in ONNX."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tests.deploy.networks import relative_difference
from tests.deploy.test_to_onnx import run as run_onnx
from ttq_repro.deploy import Inputs, pack
from ttq_repro.deploy.evaluate import evaluate
from ttq_repro.deploy.format import parse, serialize
from ttq_repro.deploy.loading import build
from ttq_repro.deploy.predict import read_image
from ttq_repro.deploy.to_onnx import to_onnx
from ttq_repro.files import ROOT
from ttq_repro.runs.config import compose_config
from ttq_repro.runs.record import Record
from ttq_repro.runs.workspace import record_and_weights
from ttq_repro.training.network import quantized_network

pytestmark = pytest.mark.cifar10
IDENTITY = "resnet20-ttq-paper_warm_up-03ab09f1"
WEIGHTS = ROOT / "results/checkpoints/cifar10" / IDENTITY / "seed1.safetensors"
ARGUMENTS = {"depth": 20, "num_classes": 10}
IMAGES_PER_CLASS = 40
#: Channel statistics of the training images.
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


@pytest.fixture(scope="module")
def photographs(cifar10_root: Path) -> tuple[Tensor, Tensor]:
    """A few test images of each class, as the network reads them, and their labels."""
    inputs = Inputs((32, 32), 1.0, MEAN, STD, ())
    folders = sorted((cifar10_root / "test").iterdir())
    files = [path for folder in folders for path in sorted(folder.iterdir())[:IMAGES_PER_CLASS]]
    labels = torch.arange(len(folders)).repeat_interleave(IMAGES_PER_CLASS)
    return torch.stack([read_image(path, inputs) for path in files]), labels


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """The ResNet-20 that TTQ trained at the paper's budget."""
    record, weights = record_and_weights(WEIGHTS)
    network = quantized_network(Record.read(record).config)
    network.load_state_dict(load_file(weights))
    return network.eval()


@pytest.mark.slow
def test_the_shipped_network_has_the_error_that_the_docs_state(
    cifar10_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = WEIGHTS.with_suffix(".packed.safetensors")
    asked = [f"packed={shipped}", f"data.root={cifar10_root}", f"workspace={tmp_path}"]
    evaluate(compose_config("evaluate", asked))
    (error,) = re.findall(r": (\d+\.\d\d%) test error", capsys.readouterr().out)
    page = (ROOT / "docs" / "inference.md").read_text()
    assert f"The latter prints {error}," in page


@pytest.mark.parametrize("fold", [False, True])
def test_the_packed_network_predicts_the_same(
    network: nn.Module, photographs: tuple[Tensor, Tensor], fold: bool
) -> None:
    images, labels = photographs
    inputs = Inputs((32, 32), 1.0, MEAN, STD, tuple("abcdefghij"))
    packed = pack(network, "CifarResNet", ARGUMENTS, inputs, fold=fold)
    with torch.no_grad():
        expected = network(images)
        logits = build(parse(serialize(packed, "zstd")))(images)
    assert (expected.argmax(1) == labels).float().mean() > 0.85
    assert relative_difference(logits, expected) < 1e-5
    assert torch.equal(logits.argmax(1), expected.argmax(1))
    of_onnx = run_onnx(to_onnx(packed, "int2" if fold else "float"), images)
    assert relative_difference(of_onnx, expected) < 1e-5
    assert torch.equal(of_onnx.argmax(1), expected.argmax(1))
