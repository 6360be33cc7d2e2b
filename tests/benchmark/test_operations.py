"""Operations counted by hand on small layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.deploy.networks import packed, trained
from ttq_repro.benchmark.operations import HEADER, Operations, by_layer, operations
from ttq_repro.deploy.bits import pack_bits
from ttq_repro.deploy.loading import PackedWeight, build
from ttq_repro.models import CifarResNet


class Small(nn.Sequential):
    """A 3x3 convolution over 4x4 pixels, two filters, and a linear layer from 32 to 1."""

    def __init__(self) -> None:
        conv = nn.Conv2d(3, 2, 3, padding=1, bias=False)
        super().__init__(conv, nn.Flatten(), nn.Linear(32, 1))
        with torch.no_grad():
            self[2].weight.fill_(0.5)
            self[2].weight[0, :12] = 0
        index = torch.ones(54, dtype=torch.uint8)
        # Filter 0: three of +2, one of -1. Filter 1: five of -1.
        index[[0, 5, 9]] = 2
        index[26] = 0
        index[27:32] = 0
        del conv.weight
        conv.register_buffer("weight", pack_bits(index, 2))
        nn.utils.parametrize.register_parametrization(
            conv, "weight", PackedWeight((2, 3, 3, 3), 2, torch.tensor([[-1.0, 0, 2]])), unsafe=True
        )


def test_zeros_are_skipped_and_equal_magnitudes_multiplied_once() -> None:
    conv, linear = operations(Small(), (4, 4))
    positions = 4 * 4
    assert conv == Operations(
        name="0",
        weights=54,
        nonzero=9,
        bits=2,
        outputs=2 * positions,
        multiplications=(2 + 1) * positions,
        additions=9 * positions,
        float_multiplications=54 * positions,
    )
    assert linear == Operations("2", 32, 20, 32, 1, 20, 20, 32)


def test_energy_in_microjoules() -> None:
    layer = Operations("x", 1000, 500, 2, 10, 10**6, 2 * 10**6, 4 * 10**6)
    assert layer.arithmetic == pytest.approx(3.7 + 2 * 0.9)
    assert layer.float_arithmetic == pytest.approx(4 * 4.6)
    assert layer.memory == pytest.approx(1000 / 16 * 640e-6)
    assert layer.float_memory == pytest.approx(16 * layer.memory)


def test_multiplications_and_additions_of_resnet20_as_published() -> None:
    """41 million multiply-adds at 32x32 (He et al. 2015 report 40.55 million with option A)."""
    layers = operations(CifarResNet(20), (32, 32))
    assert sum(layer.float_multiplications for layer in layers) == 40_551_040
    assert sum(layer.additions for layer in layers) == 40_551_040


def test_a_ternary_network_multiplies_twice_an_output() -> None:
    layers = operations(build(packed(trained()), "unpacked"), (32, 32))
    by_name = {layer.name: layer for layer in layers}
    assert by_name["blocks.0.conv2"].multiplications == 2 * 16 * 32 * 32
    assert by_name["stem.0"].multiplications == by_name["stem.0"].float_multiplications
    one_scale = operations(build(packed(trained(method="twn")), "unpacked"), (32, 32))
    assert {layer.name: layer for layer in one_scale}["blocks.0.conv2"].multiplications == (
        16 * 32 * 32
    )


def test_the_table_ends_with_the_sum() -> None:
    rows = by_layer(operations(build(packed(trained()), "unpacked"), (32, 32)))
    assert [row[0] for row in rows][-2:] == ["linear", "all"]
    column = HEADER.index("additions")
    counts = [int(row[column].replace(",", "")) for row in rows]
    assert counts[-1] == sum(counts[:-1])
    ratio = HEADER.index("multiplications per output")
    assert [row[ratio] for row in rows] == ["-", *["2.00"] * 8]
