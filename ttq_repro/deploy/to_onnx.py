"""Packed networks as ONNX models."""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ttq_repro.checks import check_choice
from ttq_repro.deploy.bits import pack_bits, unpack_bits
from ttq_repro.deploy.loading import build, packed_weight
from ttq_repro.deploy.packed import Layer, PackedNetwork
from ttq_repro.errors import UserError

ONNX_WEIGHTS = ("float", "int2")
#: The first opset whose DequantizeLinear takes 2-bit integers; float models get torch's default.
INT2_OPSET = 25
#: The metadata by which our models are recognized.
KEY = "inputs"


def to_onnx(packed: PackedNetwork, weights: str = "float") -> bytes:
    """An ONNX model from normalized ``images`` (batch, 3, H, W) to ``logits`` (batch, classes).

    The metadata ``inputs`` holds the normalization and the class names, as JSON.

    Args:
        weights: ``float``: dense float32 initializers, with the values of the packed network.
            ``int2``: layers of two or three levels as 2-bit integers that the model multiplies by
            their scale, exact in float32. One scale cannot give {-W_n, 0, +W_p} with W_n != W_p:
            such layers take two terms, 4 bits per weight. Other layers stay float.

    Raises:
        UserError: the ONNX packages are missing.
        ValueError: ``weights`` is unknown, or no layer suits ``int2``.
    """
    check_choice("weights", weights, ONNX_WEIGHTS)
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(f"ONNX needs the packages of the extra `onnx` ({error})") from None
    chosen = [layer for layer in packed.layers if layer.lower == layer.upper == 1]
    if weights == "int2" and not chosen:
        raise ValueError("onnx_weights=int2: no layer has two or three levels")
    model = _exported(build(packed, "dense"), packed, INT2_OPSET if weights == "int2" else None)
    if weights == "int2":
        _quantize(model.graph, packed, chosen)
    _forget_origin(model)
    onnx.helper.set_model_props(model, {KEY: json.dumps(asdict(packed.inputs))})
    onnx.checker.check_model(model)
    return model.SerializeToString()


def is_exported(path: Path) -> bool:
    """Whether a file is an ONNX model with our metadata."""
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError:  # Told by :func:`to_onnx`, before anything is written.
        return True
    try:
        model = onnx.load(path, load_external_data=False)
    except (OSError, DecodeError):
        return False
    return KEY in {entry.key for entry in model.metadata_props}


def _exported(network: nn.Module, packed: PackedNetwork, opset: int | None) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (torch.zeros(2, 3, *packed.inputs.size, dtype=torch.float32),),
            dynamo=True,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            opset_version=opset,
            # Optimizing would fold batch norm into the weights, which would no longer be ternary.
            optimize=False,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def _forget_origin(model: Any) -> None:
    """Remove the source file and line that the exporter notes in every part."""
    graph = model.graph
    nodes = [*graph.node, *(node for function in model.functions for node in function.node)]
    values = [*graph.input, *graph.output, *graph.value_info, *graph.initializer]
    for part in (model, graph, *model.functions, *nodes, *values):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


def _quantize(graph: Any, packed: PackedNetwork, chosen: list[Layer]) -> None:
    """Replace the float weights of the chosen layers by 2-bit integers and their scales."""
    from onnx import TensorProto, helper

    network = build(packed, "unpacked")
    codes = {layer.name: codes for layer, codes in zip(packed.layers, packed.codes, strict=True)}
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    nodes = []
    for layer in chosen:
        weight = f"{layer.name}.weight"
        graph.initializer.remove(initializers[weight])
        held = packed_weight(network.get_submodule(layer.name))
        assert held is not None
        terms = _terms(layer, codes[layer.name], held.levels)
        names = [weight] if len(terms) == 1 else [f"{weight}.upper", f"{weight}.lower"]
        for name, (integers, scales) in zip(names, terms, strict=True):
            parts = [f"{name}.codes", f"{name}.scale"]
            two_bits = pack_bits(integers.view(torch.uint8) & 3, 2).numpy().tobytes()
            dims = [len(scales)] if len(scales) > 1 else []
            graph.initializer.append(
                helper.make_tensor(parts[0], TensorProto.INT2, layer.shape, two_bits, raw=True)
            )
            graph.initializer.append(
                helper.make_tensor(parts[1], TensorProto.FLOAT, dims, scales.tolist())
            )
            nodes.append(helper.make_node("DequantizeLinear", parts, [name], axis=0))
        if len(terms) == 2:
            nodes.append(helper.make_node("Add", names, [weight]))
    # New nodes go before those that read them, as ONNX requires topological order.
    nodes.extend(graph.node)
    del graph.node[:]
    graph.node.extend(nodes)


def _terms(layer: Layer, codes: Tensor, levels: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Integers and scales whose products add up to the weight of a layer of two or three levels.

    Shapes: integers (weights,) int8; scales (1,) or (out,).
    """
    index = unpack_bits(codes, layer.width)[: layer.weights].to(torch.int8)
    sign = index - 1 if layer.zero else 2 * index - 1
    upper, lower = levels[:, -1], -levels[:, 0]
    if torch.equal(upper, lower):
        return [(sign, upper)]
    return [(sign.clamp(min=0), upper), (sign.clamp(max=0), lower)]
