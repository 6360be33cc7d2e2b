"""Small quantized networks that look trained: batch norms and scales of all signs and sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tests.quantizers.methods import METHODS
from ttq_repro.deploy import Inputs, PackedNetwork, pack
from ttq_repro.models import CifarResNet, ResNet18
from ttq_repro.quantizers import FirstLast, quantize_, quantized_layers

CLASSES = ("ant", "bee", "cat", "dog", "elk")
INPUTS = Inputs((32, 32), 1.0, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3), CLASSES)

#: Class and arguments of every architecture that is small enough for fast tests.
ARCHITECTURES: dict[str, tuple[type[nn.Module], dict[str, Any]]] = {
    "preactivation": (CifarResNet, {"depth": 8, "num_classes": 5}),
    "postactivation": (CifarResNet, {"depth": 8, "num_classes": 5, "preactivation": False}),
    "resnet18": (ResNet18, {"num_classes": 5, "width": 0.125}),
}


def trained(name: str = "preactivation", method: str = "ttq") -> nn.Module:
    """A network of ``ARCHITECTURES``, quantized by a method of ``METHODS``."""
    torch.manual_seed(0)
    make, arguments = ARCHITECTURES[name]
    network = make(**arguments)
    settle(network, METHODS[method])
    return network


@torch.no_grad()
def settle(network: nn.Module, method: Callable[[], Any], *, last: bool = True) -> None:
    """Quantize a network and move its batch norms and scales away from their initial values."""
    quantize_(network, method, FirstLast(quantize_last=last))
    for layer in quantized_layers(network):
        layer.quantizer.on_epoch_start(layer.latent, 0, 1)
        for parameter in layer.quantizer.parameters():
            parameter *= 0.5 + torch.rand_like(parameter)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.weight.copy_(torch.randn(module.num_features))
            module.bias.copy_(torch.randn(module.num_features))
            module.running_mean.copy_(torch.randn(module.num_features))
            module.running_var.copy_(torch.rand(module.num_features) + 0.1)
    network.eval()


def packed(network: nn.Module, name: str = "preactivation", *, fold: bool = False) -> PackedNetwork:
    make, arguments = ARCHITECTURES[name]
    return pack(network, make.__name__, arguments, INPUTS, fold=fold, provenance={"run": "test"})


def images(count: int = 4, side: int = 32) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def relative_difference(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference in units of the largest magnitude."""
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()
