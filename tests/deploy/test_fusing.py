"""What packed convolutions take over; that the results are the same is tested with the layers."""

from __future__ import annotations

import operator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from tests.deploy.networks import ARCHITECTURES, images, packed, relative_difference, trained
from ttq_repro.deploy.fusing import fused
from ttq_repro.deploy.loading import build
from ttq_repro.deploy.runtime import PackedConv2d, runtime

pytestmark = pytest.mark.skipif(runtime() is None, reason="needs a C++ compiler")


def loaded(name: str, *, fold: bool) -> fx.GraphModule:
    network = build(packed(trained(name), name, fold=fold), "packed")
    assert isinstance(network, fx.GraphModule)
    return network


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_only_convolutions_pass_over_the_images_of_a_folded_network(name: str) -> None:
    """But for the stem, the end of a pre-activation network, and shortcuts that change shape."""
    network = loaded(name, fold=True)
    rest = {
        str(node.target)
        for node in network.graph.nodes
        if node.op == "call_module"
        and not isinstance(network.get_submodule(node.target), PackedConv2d)
    }
    assert {part.split(".")[0] for part in rest} <= {"stem", "head", "linear"}
    called = [node.target for node in network.graph.nodes if node.op == "call_function"]
    assert operator.add not in called
    assert F.relu not in called


def test_a_batch_norm_that_is_not_folded_is_taken_over_before_a_convolution() -> None:
    network = loaded("preactivation", fold=False)
    norms = [n for n, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms == ["stem.1", "head.0"]


class _Shared(nn.Module):
    """Everything that could be taken over is needed elsewhere, too."""

    def __init__(self, convolution: nn.Module) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.convolution = convolution

    def forward(self, x: Tensor) -> Tensor:
        normalized = self.norm(x)
        rectified = self.relu(normalized)
        out = self.convolution(rectified)
        return F.relu(out + x) + out + rectified


def test_what_others_read_is_left_alone() -> None:
    (_, convolution, *_) = (
        m for m in loaded("preactivation", fold=True).modules() if isinstance(m, PackedConv2d)
    )
    convolution.norm, convolution.relu = None, False
    network = _Shared(convolution).eval()
    network.norm.running_mean.fill_(-0.5)
    x = torch.randn(2, 16, 6, 6)
    expected = network(x)
    made = fused(network)
    assert relative_difference(made(x), expected) < 1e-6
    assert convolution.norm is None
    assert not convolution.relu


def test_dense_convolutions_return_what_packed_ones_read() -> None:
    stem = loaded("preactivation", fold=True).get_submodule("stem.0")
    assert stem(images()).is_contiguous(memory_format=torch.channels_last)
