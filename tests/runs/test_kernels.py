import numpy as np
import pytest
import torch
from torch import nn

from tests.records import record
from ttq_repro.models import AlexNetBN, CifarResNet
from ttq_repro.quantizers import BWN, TTQ, quantize_, quantized_layers
from ttq_repro.runs.kernels import ternary_kernels
from ttq_repro.runs.record import pack_codes


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (10, 10, 5, 5), (3, 7, 3, 3)])
def test_codes_come_back_from_two_bits_each(shape: tuple[int, ...]) -> None:
    codes = np.random.default_rng(0).integers(-1, 2, shape)
    packed = pack_codes(codes)
    assert len(packed) <= -(-codes.size // 4) * 4 / 3 + 3
    made = record(kernels={"a": {"shape": list(shape), "codes": packed}})
    assert np.array_equal(made.kernel_codes("a"), codes)


def test_empty_and_single_kernels_are_counted_and_the_first_hundred_kept() -> None:
    network = CifarResNet(8)
    quantize_(network, TTQ)
    layer = quantized_layers(network)[2]
    with torch.no_grad():
        layer.latent.fill_(1)
        layer.latent[0, :3] = 0
        layer.latent[1, 5] = 0
        layer.latent[1, 5, 2, 0] = -1
    kernels = ternary_kernels(network)
    assert list(kernels) == [one.name for one in quantized_layers(network)[:-1]]
    kept = kernels[layer.name]
    assert (kept["count"], kept["empty"], kept["single"]) == (32 * 16, 3, 1)
    codes = record(kernels=kernels).kernel_codes(layer.name)
    assert np.array_equal(codes, layer.quantizer.codes(layer.latent)[:10, :10].numpy())


def test_grouped_kernels_of_alexnet() -> None:
    with torch.device("meta"):  # Not the 54 million weights of its classifier.
        network = AlexNetBN(num_classes=2).features
    network.to_empty(device="cpu")
    for parameter in network.parameters():
        nn.init.normal_(parameter)
    quantize_(network, TTQ)
    kernels = ternary_kernels(network)
    assert [kept["count"] for kept in kernels.values()] == [12_288, 98_304, 73_728, 49_152]
    assert next(iter(kernels.values()))["shape"] == [10, 10, 5, 5]


def test_binary_layers_have_no_empty_kernels_to_count() -> None:
    network = CifarResNet(8)
    quantize_(network, BWN)
    assert ternary_kernels(network) == {}
