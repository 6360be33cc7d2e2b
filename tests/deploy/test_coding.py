"""Codes on disk: they come back unchanged, and take as much space as they should."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ttq_repro.deploy.bits import pack_bits, packed_size, unpack_bits, width_of
from ttq_repro.deploy.coding import CODINGS, PIECE, decode, encode
from ttq_repro.deploy.packed import Layer


def layer(
    weights: int, lower: int = 1, upper: int = 1, *, zero: bool = True, name: str = "conv"
) -> Layer:
    return Layer(name, "TTQ", (weights,), lower, zero, upper, symmetric=False, per_filter=False)


def coded(indices: list[np.ndarray], layers: list[Layer], coding: str) -> bytes:
    codes = [
        pack_bits(torch.from_numpy(index.astype(np.uint8)), layer.width)
        for index, layer in zip(indices, layers, strict=True)
    ]
    content = encode(codes, layers, coding)
    again = decode(torch.frombuffer(bytearray(content), dtype=torch.uint8), layers, coding)
    assert all(torch.equal(a, b) for a, b in zip(again, codes, strict=True))
    return content


@st.composite
def networks(draw: st.DrawFn) -> tuple[list[np.ndarray], list[Layer]]:
    layers = [
        layer(
            draw(st.integers(1, 700)),
            draw(st.integers(0, 127)),
            draw(st.integers(1, 128)),
            zero=draw(st.booleans()),
        )
        for _ in range(draw(st.integers(1, 4)))
    ]
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    zeros = draw(st.sampled_from([0.0, 0.5, 0.99, 1.0]))
    indices = []
    for each in layers:
        index = generator.integers(0, each.levels, each.weights)
        if each.zero:
            index[generator.random(each.weights) < zeros] = each.lower
        indices.append(index)
    return indices, layers


@settings(deadline=None, max_examples=100)
@given(networks(), st.sampled_from(["packed", "zstd", "huffman"]))
def test_any_codes_come_back(network: tuple[list[np.ndarray], list[Layer]], coding: str) -> None:
    coded(*network, coding)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=4), st.integers(0, 2**32))
def test_ternary_codes_come_back_from_trits(sizes: list[int], seed: int) -> None:
    generator = np.random.default_rng(seed)
    content = coded(
        [generator.integers(0, 3, size) for size in sizes], [layer(s) for s in sizes], "trits"
    )
    assert len(content) == sum(-(-size // 5) for size in sizes)


@pytest.mark.parametrize("coding", CODINGS)
def test_codes_of_several_pieces_come_back(coding: str) -> None:
    sizes = [PIECE + 3, 7, 2 * PIECE]
    coded([ternary(0.8, size) for size in sizes], [layer(size) for size in sizes], coding)


@pytest.mark.parametrize("levels", [1, 2, 3, 4, 5, 16, 17, 256])
def test_integers_take_the_bits_they_need(levels: int) -> None:
    width = width_of(levels)
    assert levels <= 2**width
    integers = torch.randint(0, levels, (101,), dtype=torch.uint8)
    packed = pack_bits(integers, width)
    assert len(packed) == packed_size(101, width) == -(-101 * width // 8)
    assert torch.equal(unpack_bits(packed, width)[:101], integers)
    assert not unpack_bits(packed, width)[101:].any()


def test_the_first_code_is_in_the_lowest_bits() -> None:
    assert pack_bits(torch.tensor([1, 2, 0, 1, 2], dtype=torch.uint8), 2).tolist() == [
        0b01_00_10_01,
        2,
    ]


def test_more_than_256_levels_are_an_error() -> None:
    with pytest.raises(ValueError, match="257 levels do not fit"):
        width_of(257)


def test_zeros_beyond_any_gap_come_back() -> None:
    index = np.ones(3000, int)
    index[[0, 255, 511, 767, 1022, 2900]] = 2
    coded([index], [layer(3000)], "huffman")
    coded([np.ones(3000, int)], [layer(3000)], "huffman")


def ternary(zeros: float, weights: int = 200_000) -> np.ndarray:
    generator = np.random.default_rng(0)
    shares = [(1 - zeros) / 2, zeros, (1 - zeros) / 2]
    return generator.choice(3, weights, p=shares)


def entropy(index: np.ndarray) -> float:
    shares = np.bincount(index) / len(index)
    shares = shares[shares > 0]
    return -(shares * np.log2(shares)).sum()


@pytest.mark.parametrize("zeros", [0.3, 0.5, 0.7])
def test_zstd_comes_close_to_the_entropy(zeros: float) -> None:
    index = ternary(zeros)
    bits = 8 * len(coded([index], [layer(len(index))], "zstd")) / len(index)
    assert entropy(index) <= bits < 1.02 * entropy(index)


def test_half_zeros_are_twenty_times_smaller_than_float32() -> None:
    index = ternary(0.5)
    assert 4 * len(index) >= 20 * len(coded([index], [layer(len(index))], "zstd"))
    assert 4 * len(index) >= 16 * len(coded([index], [layer(len(index))], "packed"))
    assert 4 * len(index) >= 20 * len(coded([index], [layer(len(index))], "trits"))


def test_huffman_suits_a_pruned_codebook() -> None:
    """A fully connected layer of Deep Compression: 9% of the weights, 5 bits."""
    generator = np.random.default_rng(0)
    lower, upper = 15, 16
    number = np.clip(np.rint(generator.laplace(0, 5, 200_000)), -lower, upper)
    kept = generator.random(200_000) < 0.09
    index = np.where(kept, number + lower, lower).astype(int)
    layers = [layer(len(index), lower, upper)]
    bits = {c: 8 * len(coded([index], layers, c)) / len(index) for c in ("zstd", "huffman")}
    assert bits["huffman"] < bits["zstd"]
    assert bits["huffman"] < 1.05 * entropy(index)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("damage", ["shorter", "longer", "other"])
def test_damaged_codes_are_an_error_or_other_codes(coding: str, damage: str) -> None:
    layers = [layer(999), layer(500)]
    generator = np.random.default_rng(0)
    content = coded([generator.integers(0, 3, each.weights) for each in layers], layers, coding)
    altered = {
        "shorter": content[:-1],
        "longer": content + b"\0",
        "other": bytes(generator.integers(0, 256, len(content), np.uint8)),
    }[damage]
    tensor = torch.frombuffer(bytearray(altered), dtype=torch.uint8)
    if damage == "other" and coding == "packed":
        assert len(decode(tensor, layers, coding)) == 2
        return
    with pytest.raises(ValueError, match=r"codes|trits|gaps"):
        decode(tensor, layers, coding)


@pytest.mark.parametrize(
    ("written", "read", "message"),
    [
        (layer(4), layer(4, zero=False), "conv holds the code 255, but has 2 levels"),
        (layer(4, 2, 2), layer(4), "conv holds the code 4, but has 3 levels"),
    ],
    ids=["a gap in a layer without a zero", "a value of more bits than the layer's"],
)
def test_huffman_codes_that_are_no_level_are_an_error(
    written: Layer, read: Layer, message: str
) -> None:
    index = torch.tensor([1, 1, 0, written.levels - 1], dtype=torch.uint8)
    content = encode([pack_bits(index, written.width)], [written], "huffman")
    with pytest.raises(ValueError, match=message):
        decode(torch.frombuffer(bytearray(content), dtype=torch.uint8), [read], "huffman")


def test_an_unknown_coding_is_named() -> None:
    for unknown in (partial(encode, []), partial(decode, torch.empty(0, dtype=torch.uint8))):
        with pytest.raises(ValueError, match="coding must be one of packed, trits, zstd"):
            unknown([], "gzip")
