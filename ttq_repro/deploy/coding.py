"""How the codes of a whole network are written into a file."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import torch
import zstandard
from numpy.typing import NDArray
from torch import Tensor

from ttq_repro.deploy.packed import Layer
from ttq_repro.deploy.packing import pack, unpack

Coding = Literal["packed", "trits", "zstd", "huffman"]
CODINGS: tuple[str, ...] = get_args(Coding)

ZSTD_LEVEL = 19
TRITS_A_BYTE = 5
POWERS_OF_THREE = torch.tensor([3**place for place in range(TRITS_A_BYTE)], dtype=torch.uint8)
#: A gap of the Huffman coding that stands for so many zeros and no weight after them.
LONG_GAP = 255


def encode(codes: Sequence[Tensor], layers: Sequence[Layer], coding: str) -> bytes:
    """The codes of all layers, one after the other.

    ``packed``: 1, 2, 4 or 8 bits a weight, each layer from a new byte on (``Layer.width``).
    ``zstd``: the same, compressed by Zstandard. ``trits``: five ternary weights a byte, the first
    in the lowest place, each layer from a new byte on.
    ``huffman``: the storage of Deep Compression (arXiv 1510.00149, section 3 and 4). For each
    weight that is not zero, the number of zeros before it (255: so many, and no weight yet) and its
    index; both streams Huffman-coded, by DEFLATE without its dictionary, the first one after its
    length (8 bytes, little-endian). Layers without a level zero have no zeros to skip.

    Args:
        codes: of each layer, packed as ``Layer`` says.

    Raises:
        ValueError: ``coding`` is unknown, or ``trits`` meets a layer that is not ternary.
    """
    if coding == "packed":
        return _join(codes)
    if coding == "zstd":
        return zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(_join(codes))
    indices = [
        unpack(code, layer.width)[: layer.weights]
        for code, layer in zip(codes, layers, strict=True)
    ]
    if coding == "trits":
        _check_ternary(layers)
        return _join([_to_trits(index) for index in indices])
    if coding == "huffman":
        return _to_gaps(indices, layers)
    raise ValueError(f"coding={coding}: must be one of {', '.join(CODINGS)}")


def decode(content: Tensor, layers: Sequence[Layer], coding: str) -> list[Tensor]:
    """The inverse of :func:`encode`, of the coded bytes as uint8.

    Raises:
        ValueError: the content is not that of these layers.
    """
    if coding in ("packed", "zstd"):
        if coding == "zstd":
            content = _from_zstd(content, sum(layer.packed_bytes for layer in layers))
        return _split(content, [layer.packed_bytes for layer in layers])
    if coding == "trits":
        _check_ternary(layers)
        parts = _split(content, [-(-layer.weights // TRITS_A_BYTE) for layer in layers])
        indices = [
            _from_trits(part)[: layer.weights] for part, layer in zip(parts, layers, strict=True)
        ]
    elif coding == "huffman":
        indices = _from_gaps(content, layers)
    else:
        raise ValueError(f"coding {coding!r} is not one of {', '.join(CODINGS)}")
    return [pack(index, layer.width) for index, layer in zip(indices, layers, strict=True)]


def _join(parts: Sequence[Tensor]) -> bytes:
    return b"".join(part.numpy().tobytes() for part in parts)


def _split(content: Tensor, sizes: list[int]) -> list[Tensor]:
    if len(content) != sum(sizes):
        raise ValueError(f"{len(content)} bytes of codes where the layers take {sum(sizes)}")
    return list(content.split(sizes))


def _check_ternary(layers: Sequence[Layer]) -> None:
    for layer in layers:
        if layer.levels != 3:
            raise ValueError(f"trits hold three levels, {layer.name} has {layer.levels}")


def _to_trits(indices: Tensor) -> Tensor:
    padded = torch.nn.functional.pad(indices, (0, -len(indices) % TRITS_A_BYTE))
    return (padded.view(-1, TRITS_A_BYTE) * POWERS_OF_THREE).sum(1, dtype=torch.uint8)


def _from_trits(trits: Tensor) -> Tensor:
    if len(trits) and trits.max() >= 3**TRITS_A_BYTE:
        raise ValueError(f"a byte of five trits holds {trits.max()}")
    return (trits[:, None] // POWERS_OF_THREE % 3).flatten()


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
    kept = np.flatnonzero(sequence != _zeros(layers))
    gaps = np.diff(kept, prepend=-1) - 1
    long, rest = np.divmod(gaps, LONG_GAP)
    last = np.cumsum(long + 1)
    entries = np.full(last[-1] if len(last) else 0, LONG_GAP, np.uint8)
    entries[last - 1] = rest
    coded = _deflate(entries)
    return len(coded).to_bytes(8, "little") + coded + _deflate(sequence[kept])


def _from_gaps(content: Tensor, layers: Sequence[Layer]) -> list[Tensor]:
    total = sum(layer.weights for layer in layers)
    coded = content.numpy().tobytes()
    size = 8 + int.from_bytes(coded[:8], "little")
    entries = _inflate(coded[8:size], total)
    values = _inflate(coded[size:], total)
    is_weight = entries != LONG_GAP
    position = np.cumsum(entries + is_weight.astype(np.int64))[is_weight] - 1
    if len(position) != len(values) or (len(position) and position[-1] >= total):
        raise ValueError("the gaps between weights do not add up to the layers")
    sequence = _zeros(layers).astype(np.uint8)
    sequence[position] = values
    return list(torch.from_numpy(sequence).split([layer.weights for layer in layers]))


def _zeros(layers: Sequence[Layer]) -> NDArray[np.int16]:
    """For every weight of the network the index of its layer's level zero, -1 where none is."""
    zeros = np.array([layer.lower if layer.zero else -1 for layer in layers], np.int16)
    return np.repeat(zeros, [layer.weights for layer in layers])


def _deflate(symbols: NDArray[np.uint8]) -> bytes:
    coder = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_HUFFMAN_ONLY)
    return coder.compress(symbols.tobytes()) + coder.flush()


def _inflate(coded: bytes, at_most: int) -> NDArray[np.uint8]:
    decoder = zlib.decompressobj(-15)
    try:
        symbols = decoder.decompress(coded, at_most + 1)
    except zlib.error as error:
        raise ValueError(f"the codes do not decompress ({error})") from None
    if not decoder.eof or decoder.unused_data or len(symbols) > at_most:
        raise ValueError("the codes end too early or too late")
    return np.frombuffer(symbols, np.uint8)
