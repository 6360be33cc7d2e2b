"""The network that trains really is quantized, compiled or not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch._dynamo.backends.common import aot_autograd

from ttq_repro.models import CifarResNet
from ttq_repro.quantizers import TTQ, quantize_, quantized_layers

WEIGHT_ARGUMENT = {
    torch.ops.aten.convolution.default: 1,
    torch.ops.aten.mm.default: 1,
    torch.ops.aten.addmm.default: 2,
}


class WeightRecorder:
    """A torch.compile backend that keeps the weights by which the compiled graph multiplies."""

    def __init__(self) -> None:
        self.weights: list[Tensor] = []

    def backend(self) -> Any:
        recorder = self

        class Recording(fx.Interpreter):
            def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
                if target in WEIGHT_ARGUMENT:
                    recorder.weights.append(args[WEIGHT_ARGUMENT[target]].detach().clone())
                return super().call_function(target, args, kwargs)

        def forward_compiler(graph: fx.GraphModule, _: Any) -> Any:
            return lambda *inputs: Recording(graph).run(*inputs)

        return aot_autograd(
            fw_compiler=forward_compiler, bw_compiler=lambda graph, _: graph.forward
        )


def train(network: nn.Module, steps: int) -> None:
    optimizer = torch.optim.SGD(network.parameters(), 0.05, momentum=0.9)
    images, labels = torch.randn(16, 3, 16, 16), torch.randint(0, 10, (16,))
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        optimizer.step()


def test_the_compiled_forward_pass_multiplies_by_ternary_weights() -> None:
    torch.manual_seed(0)
    network = CifarResNet(8)
    decisions = quantize_(network, TTQ)
    recorder = WeightRecorder()
    torch._dynamo.reset()
    network.compile(backend=recorder.backend())
    train(network, steps=5)
    used = recorder.weights[-len(decisions) :]
    for decision, weight in zip(decisions, used, strict=True):
        assert weight.numel() == decision.module.weight.numel()
        values = weight.unique()
        assert len(values) == 3 if decision.quantize else len(values) > 100
    scales = {
        abs(value)
        for layer in quantized_layers(network)
        for value in (layer.quantizer.positive_scale.item(), layer.quantizer.negative_scale.item())
    }
    assert 1.0 not in scales, "every scale has trained"


@pytest.mark.parametrize("compiled", [False, True])
def test_outputs_follow_the_scales(compiled: bool) -> None:
    """A stale graph, or a quantizer that is switched off, would not notice the change."""
    torch._dynamo.reset()
    network = CifarResNet(8).eval()
    quantize_(network, TTQ)
    if compiled:
        network.compile(backend="aot_eager")
    images = torch.randn(2, 3, 16, 16)
    before = network(images)
    with torch.no_grad():
        network.linear.parametrizations.weight[0].positive_scale.mul_(2)
    assert not torch.allclose(before, network(images))


def test_the_latent_weights_alone_do_not_reach_the_output() -> None:
    network = CifarResNet(8).eval()
    quantize_(network, TTQ)
    images = torch.randn(2, 3, 16, 16)
    before = network(images)
    with torch.no_grad():
        for layer in quantized_layers(network):
            layer.latent.mul_(3)  # scales the threshold too: the codes stay as they are
    assert torch.equal(before, network(images))
