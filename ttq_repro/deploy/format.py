"""The packed file: a safetensors file of one documented layout.

Four one-dimensional tensors::

    codes       U8   the codes of all quantized layers (ttq_repro.deploy.coding.encode)
    levels      F32  the levels of each quantized layer, without the weight 0
    batch_norm  F32  batch norm, as trained or folded } in the order of
    floats      F32  everything else                  } ttq_repro.deploy.architecture.slots

and in the header, under ``__metadata__``, one string ``ttq_repro``: a JSON object with

    format        1
    sha256        checksum of the whole file, itself counted as 64 zeros
    architecture  [class of ttq_repro.models, arguments of its constructor]
    batch_norm    "trained" or "folded"
    inputs        {size: [height, width], centre, mean: [3], std: [3], classes: [names]}
    coding        "packed", "trits", "zstd" or "huffman"
    layers        the quantized layers in the order of codes and levels, grouped by what they share:
                  [{method, lower, zero, upper, symmetric, per_filter, shapes: {name: shape}}]
    provenance    the run that the network comes from

The four tensors are not split by layer because a header entry for each would take 5% of a packed
ResNet-20.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from itertools import groupby
from math import prod
from operator import attrgetter
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor, nn

from ttq_repro.deploy.architecture import class_count, skeleton, slots
from ttq_repro.deploy.bits import unpack_bits, width_of
from ttq_repro.deploy.coding import check_indices, decode, encode
from ttq_repro.deploy.packed import Inputs, Layer, PackedNetwork
from ttq_repro.quantizers.attach import QUANTIZABLE

FORMAT = 1
KEY = "ttq_repro"
TENSORS = {
    "codes": torch.uint8,
    "levels": torch.float32,
    "batch_norm": torch.float32,
    "floats": torch.float32,
}
#: What files call the ``crop_fraction`` of :class:`Inputs`.
CENTRE = "centre"
BATCH_NORM = ("trained", "folded")
NO_DIGEST = "0" * 64
#: The first bytes of files of torch.save, and of pickle itself.
PICKLES = (b"PK\x03\x04", b"\x80")
#: The attributes that all layers of one group in the manifest share.
SHARED = ("method", "lower", "zero", "upper", "symmetric", "per_filter")
#: Bytes of codes checked at a time.
PIECE = 2**19
#: The depth of the deepest published ResNet for CIFAR-10 (He et al. 2015, arXiv 1512.03385).
LARGEST_DEPTH = 1202
#: The most weights that a compressed file may unpack to, per byte of the file. An AlexNet-BN whose
#: codes are all zero comes to 640, its float tensors included; no trained network comes near.
WEIGHTS_PER_BYTE = 1000


def serialize(packed: PackedNetwork, coding: str = "packed") -> bytes:
    """The bytes of a packed file; the same network always gives the same bytes.

    Raises:
        ValueError: the coding is unknown or does not suit the layers, or :func:`parse` would refuse
            the file; the message says why.
    """
    coded = bytearray(encode(packed.codes, packed.layers, coding))
    tensors = {
        "codes": torch.from_numpy(np.frombuffer(coded, np.uint8)),
        "levels": torch.cat([packed.floats[:0], *(levels.flatten() for levels in packed.levels)]),
        "batch_norm": packed.batch_norm,
        "floats": packed.floats,
    }
    manifest = json.dumps(_manifest(packed, coding), separators=(",", ":"))
    content = save(tensors, {KEY: manifest})
    content = content.replace(NO_DIGEST.encode(), _digest(content, NO_DIGEST).encode(), 1)
    parse(content)
    return content


def parse(content: bytes) -> PackedNetwork:
    """The packed network in the content of a file, checked down to the last code.

    Raises:
        ValueError: the content is not what :func:`serialize` writes; the message says why.
    """
    tensors, manifest = _open(content)
    try:
        return _read(tensors, manifest, largest=len(content))
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"its description is malformed ({error!r})") from None


def is_packed(path: Path) -> bool:
    """Whether a file claims to hold a packed network, valid or not."""
    try:
        with safe_open(path, "pt") as file:
            return KEY in (file.metadata() or {})
    except (OSError, SafetensorError):
        return False


def _manifest(packed: PackedNetwork, coding: str) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "sha256": NO_DIGEST,
        "architecture": [packed.architecture, packed.arguments],
        "batch_norm": BATCH_NORM[packed.folded],
        "inputs": {
            CENTRE if name == "crop_fraction" else name: value
            for name, value in asdict(packed.inputs).items()
        },
        "coding": coding,
        "layers": [
            dict(zip(SHARED, shared, strict=True))
            | {"shapes": {layer.name: layer.shape for layer in group}}
            for shared, group in groupby(packed.layers, attrgetter(*SHARED))
        ],
        "provenance": packed.provenance,
    }


def _open(content: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the manifest of a file, with its checksum verified."""
    try:
        tensors = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except (SafetensorError, ValueError, RecursionError) as error:
        if content.startswith(PICKLES):
            raise ValueError("a pickle file; pickles are never loaded") from None
        raise ValueError(f"not a safetensors file ({error})") from None
    except (KeyError, TypeError, OverflowError):
        raise ValueError("a safetensors file with types or sizes that torch lacks") from None
    try:
        manifest = json.loads(header["__metadata__"][KEY])
        version, digest = manifest["format"], manifest["sha256"]
    except (KeyError, TypeError, ValueError, RecursionError):
        raise ValueError("a safetensors file, but not of a packed network") from None
    if type(version) is not int or version != FORMAT:
        raise ValueError(f"written in format {version!r}; this version reads format {FORMAT}")
    if not isinstance(digest, str) or _digest(content, digest) != digest:
        raise ValueError("the checksum is wrong: the file is damaged or altered")
    return tensors, manifest


def _digest(content: bytes, written: str) -> str:
    """SHA-256 of the file with 64 zeros in place of the checksum that is ``written`` in it."""
    start = content.find(written.encode())
    digest = hashlib.sha256(memoryview(content)[:start])
    digest.update(NO_DIGEST.encode())
    digest.update(memoryview(content)[start + len(NO_DIGEST) :])
    return digest.hexdigest()


def _read(tensors: dict[str, Tensor], manifest: dict[str, Any], largest: int) -> PackedNetwork:
    # No argument can exceed the size of the file, as each class takes at least a byte. The depth
    # has a bound of its own: a compressed file may hold many layers in few bytes, and each layer
    # takes time and memory to build.
    bounds = {"depth": LARGEST_DEPTH}
    if {name: tensor.dtype for name, tensor in tensors.items()} != TENSORS:
        raise ValueError(f"its tensors are not {', '.join(TENSORS)}")
    if (dimensions := tensors["codes"].dim()) != 1:
        raise ValueError(f"codes has {dimensions} dimensions instead of one")
    _check_finite(tensors)
    architecture, arguments = manifest["architecture"]
    for name, value in arguments.items():
        if value > min(largest, bounds.get(name, largest)):
            raise ValueError(f"argument {name} of {architecture} is {value}, too large")
    if not isinstance(manifest["provenance"], dict):
        raise ValueError(f"provenance is {manifest['provenance']!r}, not an object")
    if manifest["batch_norm"] not in BATCH_NORM:
        raise ValueError(f"batch_norm is {manifest['batch_norm']!r}, not trained or folded")
    folded = manifest["batch_norm"] == "folded"
    frame = skeleton(architecture, arguments)
    inputs = _inputs(manifest["inputs"])
    inputs.check(class_count(frame))
    layers = _layers(manifest["layers"], dict(frame.named_modules()))
    if (weights := sum(layer.weights for layer in layers)) > WEIGHTS_PER_BYTE * largest:
        raise ValueError(f"{weights:,} weights are too many for {largest:,} bytes")
    sizes = {"batch_norm": 0, "floats": 0}
    for slot in slots(frame, {layer.name for layer in layers}, folded=folded):
        sizes[slot.part] += slot.size
    sizes["levels"] = sum(prod(layer.stored_levels) for layer in layers)
    for part, size in sizes.items():
        if tensors[part].shape != (size,):
            raise ValueError(
                f"{part} has shape {tuple(tensors[part].shape)}; "
                f"{architecture} with {arguments} needs ({size},)"
            )
    codes = decode(tensors["codes"], layers, manifest["coding"])
    for layer, packed in zip(layers, codes, strict=True):
        _check_codes(layer, packed)
    levels = tensors["levels"].split([prod(layer.stored_levels) for layer in layers])
    return PackedNetwork(
        architecture=architecture,
        arguments=arguments,
        folded=folded,
        inputs=inputs,
        layers=layers,
        codes=codes,
        levels=[flat.view(layer.stored_levels) for flat, layer in zip(levels, layers, strict=True)],
        batch_norm=tensors["batch_norm"],
        floats=tensors["floats"],
        provenance=manifest["provenance"],
    )


def _layers(groups: list[dict[str, Any]], modules: dict[str, nn.Module]) -> list[Layer]:
    """The layers that the manifest describes, checked against the network's ``modules``."""
    layers: dict[str, Layer] = {}
    for group in groups:
        shared = {key: group[key] for key in SHARED}
        for name, shape in group["shapes"].items():
            module = modules.get(name)
            if not isinstance(module, QUANTIZABLE) or list(module.weight.shape) != shape:
                raise ValueError(f"the architecture has no layer {name} of shape {shape}")
            if name in layers:
                raise ValueError(f"layer {name} is listed twice")
            layers[name] = Layer(name=name, shape=tuple(module.weight.shape), **shared)
            _check_layer(layers[name])
    return list(layers.values())


def _check_layer(layer: Layer) -> None:
    for key, kind in get_type_hints(Layer).items():
        if key in SHARED and type(getattr(layer, key)) is not kind:
            raise ValueError(f"{layer.name}: {key} is {getattr(layer, key)!r}, not {kind.__name__}")
    if layer.lower < 0 or layer.upper < 0 or (layer.symmetric and layer.lower != layer.upper):
        raise ValueError(
            f"{layer.name}: cannot have {layer.lower} levels below zero, {layer.upper} above"
        )
    width_of(layer.levels)


def _check_codes(layer: Layer, packed: Tensor) -> None:
    if layer.levels == 2**layer.width:
        return
    for part in packed.split(PIECE):
        check_indices(layer, unpack_bits(part, layer.width))


def _check_finite(tensors: dict[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise ValueError(f"a number in {name} is not finite")


def _inputs(node: dict[str, Any]) -> Inputs:
    height, width = node["size"]
    mean, std = (tuple(float(value) for value in node[key]) for key in ("mean", "std"))
    crop, classes = float(node[CENTRE]), node["classes"]
    if not isinstance(classes, list):
        raise ValueError(f"classes is {classes!r}, not a list of names")
    return Inputs((height, width), crop, mean, std, tuple(classes))  # type: ignore[arg-type]
