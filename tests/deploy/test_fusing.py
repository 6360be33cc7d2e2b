"""What packed convolutions take over; that the results are the same is tested with the layers."""

from __future__ import annotations

import operator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from tests.deploy.networks import ARCHITECTURES, images, packed, relative_difference, trained
from ttq_repro.deploy.architecture import traced
from ttq_repro.deploy.fusing import fuse
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
    """What could be taken over is needed elsewhere, too, or is not a sum of two tensors."""

    def __init__(self, first: PackedConv2d, second: PackedConv2d) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(16), nn.BatchNorm2d(16)
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Tensor:
        rectified = self.relu1(self.norm1(x))
        out = self.first(rectified)
        normalized = self.norm2(F.relu(out + x) + out + rectified)
        last = self.second(self.relu2(normalized))
        return (last + last + 1) * normalized


def test_what_others_read_is_left_alone() -> None:
    packed_ones = [
        module
        for module in loaded("preactivation", fold=True).modules()
        if isinstance(module, PackedConv2d)
    ]
    first, second = packed_ones[:2]
    for convolution in (first, second):
        convolution.norm, convolution.relu = None, False
    network = _Shared(first, second).eval()
    for norm in (network.norm1, network.norm2):
        assert norm.running_mean is not None
        norm.running_mean.fill_(-0.5)
    x = torch.randn(2, 16, 6, 6)
    with torch.inference_mode():
        expected = network(x)
        assert relative_difference(fuse(network, traced(network))(x), expected) < 1e-6
    assert first.norm is second.norm is None
    assert not first.relu
    assert not second.relu


def test_a_residual_may_be_of_another_type() -> None:
    """Under autocast, it is if a float convolution computes it."""
    convolutions = loaded("preactivation", fold=True).modules()
    convolution = next(one for one in convolutions if isinstance(one, PackedConv2d))
    x, residual = torch.randn(2, 16, 6, 6), torch.randn(2, 16, 6, 6).bfloat16()
    with torch.inference_mode():
        out = convolution(x, residual)
        assert torch.equal(out, convolution(x, residual.float()))
        (single,) = convolution(x[:1], residual[:1])
        assert torch.equal(convolution(x[0], residual[0]), single)


def test_dense_convolutions_return_what_packed_ones_read() -> None:
    stem = loaded("preactivation", fold=True).get_submodule("stem.0")
    assert stem(images()).is_contiguous(memory_format=torch.channels_last)


def test_tracing_leaves_other_networks_to_other_threads() -> None:
    other = nn.Linear(2, 2)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            # As another thread might do meanwhile.
            assert other(torch.zeros(2)).shape == (2,)
            return self.layer(x)

    model = Model()
    assert [str(node.target) for node in traced(model).nodes] == ["images", "layer", "output"]
    assert model(torch.tensor(-1.0)) == 0, "its layers compute again"
