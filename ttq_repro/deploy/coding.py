"""Encodings of the codes of a whole network in a file."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch
import zstandard
from numpy.typing import NDArray
from torch import Tensor

from ttq_repro.checks import check_choice
from ttq_repro.deploy.bits import pack_bits, unpack_bits
from ttq_repro.deploy.packed import Layer

Coding = Literal["packed", "trits", "zstd", "huffman"]
CODINGS: tuple[str, ...] = get_args(Coding)

ZSTD_LEVEL = 19
TRITS_PER_BYTE = 5
POWERS_OF_THREE = torch.tensor(
    [3**place for place in range(TRITS_PER_BYTE)], dtype=torch.uint8, device="cpu"
)
#: A gap of the Huffman coding that stands for this many zeros with no weight after them.
LONG_GAP = 255
#: Weights decoded at a time; they fill whole bytes, as trits and at any width. While it is decoded,
#: a weight takes a few 8-byte numbers.
PIECE = 8 * TRITS_PER_BYTE * 2**14


def encode(codes: Sequence[Tensor], layers: Sequence[Layer], coding: str) -> bytes:
    """Encode the codes of all layers, one after the other.

    ``packed``: 1, 2, 4 or 8 bits a weight (``Layer.width``), each layer starting at a new byte.
    ``zstd``: the same, compressed by Zstandard. ``trits``: five ternary weights a byte, the first
    in the lowest place, each layer starting at a new byte.
    ``huffman``: the storage of Deep Compression (arXiv 1510.00149, sections 3 and 4). For each
    weight that is not zero, it holds the number of zeros before it (255: that many zeros, with no
    weight after them) and its index. Both streams are Huffman-coded, by DEFLATE without its
    dictionary; the length of the first one (8 bytes, little-endian) precedes it. Layers without a
    level zero have no zeros to skip.

    Args:
        codes: the packed indices of each layer (see ``Layer``).

    Raises:
        ValueError: ``coding`` is unknown, or ``trits`` is asked for a layer that is not ternary.
    """
    check_choice("coding", coding, CODINGS)
    if coding == "packed":
        return _join(codes)
    if coding == "zstd":
        return zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(_join(codes))
    indices = [
        unpack_bits(code, layer.width)[: layer.weights]
        for code, layer in zip(codes, layers, strict=True)
    ]
    if coding == "trits":
        _check_ternary(layers)
        return _join([_to_trits(index) for index in indices])
    return _to_gaps(indices, layers)


def decode(content: Tensor, layers: Sequence[Layer], coding: str) -> list[Tensor]:
    """The inverse of :func:`encode`; ``content`` holds the encoded bytes as uint8.

    Raises:
        ValueError: ``coding`` is unknown, or the content does not fit these layers.
    """
    check_choice("coding", coding, CODINGS)
    if coding in ("packed", "zstd"):
        if coding == "zstd":
            content = _from_zstd(content, sum(layer.packed_bytes for layer in layers))
        return _split(content, [layer.packed_bytes for layer in layers])
    if coding == "trits":
        _check_ternary(layers)
        parts = _split(content, [-(-layer.weights // TRITS_PER_BYTE) for layer in layers])
        pieces = [_from_trits(part, layer) for part, layer in zip(parts, layers, strict=True)]
    else:
        pieces = [iter(index.split(PIECE)) for index in _from_gaps(content, layers)]
    return [
        torch.cat([pack_bits(index, layer.width) for index in some])
        for some, layer in zip(pieces, layers, strict=True)
    ]


def check_indices(layer: Layer, indices: Tensor) -> None:
    """Refuse indices beyond the layer's levels.

    Raises:
        ValueError: there is one.
    """
    if (highest := int(indices.max())) >= layer.levels:
        raise ValueError(f"{layer.name} holds the code {highest}, but has {layer.levels} levels")


def _join(parts: Sequence[Tensor]) -> bytes:
    return b"".join(part.numpy().tobytes() for part in parts)


def _split(content: Tensor, sizes: list[int]) -> list[Tensor]:
    if len(content) != sum(sizes):
        raise ValueError(f"the codes take {len(content)} bytes, but the layers need {sum(sizes)}")
    return list(content.split(sizes))


def _check_ternary(layers: Sequence[Layer]) -> None:
    for layer in layers:
        if layer.levels != 3:
            raise ValueError(f"trits need three levels, but {layer.name} has {layer.levels}")


def _to_trits(indices: Tensor) -> Tensor:
    padded = torch.nn.functional.pad(indices, (0, -len(indices) % TRITS_PER_BYTE))
    return (padded.view(-1, TRITS_PER_BYTE) * POWERS_OF_THREE).sum(1, dtype=torch.uint8)


def _from_trits(trits: Tensor, layer: Layer) -> Iterator[Tensor]:
    """The indices of a layer, ``PIECE`` at a time."""
    if len(trits) and trits.max() >= 3**TRITS_PER_BYTE:
        raise ValueError(f"a byte of five trits is {trits.max()}, but at most 242 is valid")
    starts = range(0, layer.weights, PIECE)
    for start, piece in zip(starts, trits.split(PIECE // TRITS_PER_BYTE), strict=True):
        yield (piece[:, None] // POWERS_OF_THREE % 3).flatten()[: layer.weights - start]


def _from_zstd(content: Tensor, size: int) -> Tensor:
    coded = content.numpy().tobytes()
    try:
        if zstandard.frame_content_size(coded) != size:
            raise ValueError(f"the codes do not decompress to the {size} bytes of the layers")
        decompressed = zstandard.ZstdDecompressor().decompress(coded, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise ValueError(f"the codes do not decompress ({error})") from None
    return torch.from_numpy(np.frombuffer(bytearray(decompressed), np.uint8))


def _to_gaps(indices: Sequence[Tensor], layers: Sequence[Layer]) -> bytes:
    sequence = np.concatenate([index.numpy() for index in indices] or [np.empty(0, np.uint8)])
    kept = np.flatnonzero(sequence != _zeros(layers, np.int16))
    gaps = np.diff(kept, prepend=-1) - 1
    long, rest = np.divmod(gaps, LONG_GAP)
    last = np.cumsum(long + 1)
    entries = np.full(last[-1] if len(last) else 0, LONG_GAP, np.uint8)
    entries[last - 1] = rest
    coded = _deflate(entries)
    return len(coded).to_bytes(8, "little") + coded + _deflate(sequence[kept])


def _from_gaps(content: Tensor, layers: Sequence[Layer]) -> Sequence[Tensor]:
    """The indices of each layer."""
    coded = content.numpy().data
    size = 8 + int.from_bytes(coded[:8], "little")
    gaps, values = _Inflated(coded[8:size]), _Inflated(coded[size:])
    sequence, end = _zeros(layers, np.uint8), 0
    while len(entries := gaps.read(PIECE)):
        is_weight = entries != LONG_GAP
        ends = end + np.cumsum(entries + is_weight.astype(np.int64))
        end = int(ends[-1])
        places = ends[is_weight] - 1
        found = values.read(len(places))
        if end > len(sequence) or len(found) < len(places):
            raise ValueError("the gaps between weights do not add up to the layers' sizes")
        sequence[places] = found
    gaps.check_end()
    values.check_end()
    indices = torch.from_numpy(sequence).split([layer.weights for layer in layers])
    for layer, index in zip(layers, indices, strict=True):
        check_indices(layer, index)  # Packed, one that is too large would alter its neighbour.
    return indices


def _zeros(layers: Sequence[Layer], dtype: type[np.integer]) -> NDArray[Any]:
    """For every weight of the network, the index of its layer's level zero, or -1 without one."""
    zeros = np.array([layer.lower if layer.zero else -1 for layer in layers], np.int16)
    return np.repeat(zeros.astype(dtype), [layer.weights for layer in layers])


def _deflate(symbols: NDArray[np.uint8]) -> bytes:
    coder = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_HUFFMAN_ONLY)
    return coder.compress(symbols.tobytes()) + coder.flush()


class _Inflated:
    """Reads a DEFLATE stream in pieces, because a crafted one may expand to very many symbols."""

    def __init__(self, coded: memoryview) -> None:
        self._decoder = zlib.decompressobj(-15)
        self._rest: memoryview | bytes = coded

    def read(self, count: int) -> NDArray[np.uint8]:
        """The next ``count`` symbols, or all that are left.

        Raises:
            ValueError: the stream is malformed.
        """
        if count == 0:  # To the decoder, 0 means no limit.
            return np.empty(0, np.uint8)
        try:
            symbols = self._decoder.decompress(self._rest, count)
        except zlib.error as error:
            raise ValueError(f"the codes do not decompress ({error})") from None
        self._rest = self._decoder.unconsumed_tail
        return np.frombuffer(symbols, np.uint8)

    def check_end(self) -> None:
        """Raise ValueError if symbols or bytes are left, or the end is missing."""
        if len(self.read(1)) or not self._decoder.eof or self._decoder.unused_data:
            raise ValueError("the codes end too early or too late")
