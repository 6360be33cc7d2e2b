"""The cost of one image: arithmetic and reading weights, with zeros skipped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from ttq_repro.deploy.loading import packed_weight
from ttq_repro.quantizers.attach import QUANTIZABLE
from ttq_repro.table import NOTHING

# Picojoules at 45 nm and 0.9 V: M. Horowitz, "Computing's energy problem (and what we can do about
# it)", ISSCC 2014; DRAM per 32 bits as in Han et al., "EIE", ISCA 2016, table 1.
FLOAT_MULTIPLICATION = 3.7
FLOAT_ADDITION = 0.9
DRAM_READ_BIT = 640 / 32

HEADER = [
    "layer", "weights", "not zero, %", "bits",
    "multiplications", "additions", "multiplications per output",
    "arithmetic, µJ", "weights, µJ",
    "float32: multiplications", "float32: arithmetic, µJ", "float32: weights, µJ",
]  # fmt: skip
CAPTION = (
    "Operations of the convolutions and linear layers for one image, with zeros skipped: inputs "
    "whose weights in a filter have the same magnitude are added up first, then multiplied by it. "
    "Multiplications per output: of the quantized layers. float32: the same network with float "
    "weights, which has as many additions as multiplications. Energy at 45 nm (Horowitz, ISSCC "
    "2014): 3.7 pJ for a float32 multiplication, 0.9 pJ for an addition, and 640 pJ for 32 bits "
    "from DRAM, each weight read once; activations are not counted. The number of zeros depends on "
    "the network, which the second column names: a trained one if one is committed."
)


@dataclass(frozen=True)
class Operations:
    """The operations of one layer for one image.

    Attributes:
        weights: number of weights; nonzero: how many of them are not zero.
        bits: width of one weight in memory, 32 if it is float.
        outputs: number of values in the layer's output.
        multiplications, additions: with zeros skipped and equal magnitudes multiplied once.
        float_multiplications: those of the same layer with float weights, which needs as many
            additions.
    """

    name: str
    weights: int
    nonzero: int
    bits: int
    outputs: int
    multiplications: int
    additions: int
    float_multiplications: int

    @property
    def arithmetic(self) -> float:
        """Energy of multiplications and additions, in microjoules."""
        return _arithmetic(self.multiplications, self.additions)

    @property
    def memory(self) -> float:
        """Energy of reading every weight from DRAM once, in microjoules."""
        return 1e-6 * self.weights * self.bits * DRAM_READ_BIT

    @property
    def float_arithmetic(self) -> float:
        return _arithmetic(self.float_multiplications, self.float_multiplications)

    @property
    def float_memory(self) -> float:
        return 1e-6 * self.weights * 32 * DRAM_READ_BIT


@torch.no_grad()
def operations(network: nn.Module, size: tuple[int, int]) -> list[Operations]:
    """The operations of every convolution and linear layer, in the order of the network.

    As usual, padded borders count like any other input.

    Args:
        network: any float network, or one made by :func:`ttq_repro.deploy.loading.build` with
            ``unpacked`` weights.
        size: height and width of the image.
    """
    layers = {name: m for name, m in network.named_modules() if isinstance(m, QUANTIZABLE)}
    positions: dict[nn.Module, int] = {}

    def count(module: nn.Module, _: Any, output: Tensor) -> None:
        positions[module] = output[0, 0].numel()

    hooks = [layer.register_forward_hook(count) for layer in layers.values()]
    network.eval()(torch.zeros(1, 3, *size, dtype=torch.float32))
    for hook in hooks:
        hook.remove()
    return [_of_layer(name, layer, positions[layer]) for name, layer in layers.items()]


def by_layer(layers: list[Operations]) -> list[list[str]]:
    """One row of the table per layer, and one for their sum."""
    return [*(row(layer.name, [layer]) for layer in layers), row("all", layers)]


def row(name: str, layers: list[Operations]) -> list[str]:
    """The row of the table with the sum over ``layers``."""
    weights = sum(layer.weights for layer in layers)
    quantized = [layer for layer in layers if layer.bits < 32]
    outputs = sum(layer.outputs for layer in quantized)
    multiplications = sum(layer.multiplications for layer in quantized)
    return [
        name,
        f"{weights:,}",
        f"{100 * sum(layer.nonzero for layer in layers) / weights:.1f}",
        f"{sum(layer.bits * layer.weights for layer in layers) / weights:.2f}",
        f"{sum(layer.multiplications for layer in layers):,}",
        f"{sum(layer.additions for layer in layers):,}",
        f"{multiplications / outputs:.2f}" if outputs else NOTHING,
        f"{sum(layer.arithmetic for layer in layers):,.1f}",
        f"{sum(layer.memory for layer in layers):,.1f}",
        f"{sum(layer.float_multiplications for layer in layers):,}",
        f"{sum(layer.float_arithmetic for layer in layers):,.1f}",
        f"{sum(layer.float_memory for layer in layers):,.1f}",
    ]


def _of_layer(name: str, layer: nn.Module, positions: int) -> Operations:
    weight = cast(Tensor, layer.weight).flatten(1)
    nonzero = weight.count_nonzero(1)
    multiplications, bits = nonzero, 32
    packed = packed_weight(layer)
    if packed is not None:
        ascending = weight.abs().sort(1).values
        steps = ascending.diff(dim=1, prepend=weight.new_zeros(len(weight), 1))
        multiplications, bits = steps.count_nonzero(1), packed.width
    return Operations(
        name=name,
        weights=weight.numel(),
        nonzero=int(nonzero.sum()),
        bits=bits,
        outputs=len(weight) * positions,
        multiplications=int(multiplications.sum()) * positions,
        additions=int(nonzero.sum()) * positions,
        float_multiplications=weight.numel() * positions,
    )


def _arithmetic(multiplications: int, additions: int) -> float:
    return 1e-6 * (multiplications * FLOAT_MULTIPLICATION + additions * FLOAT_ADDITION)
