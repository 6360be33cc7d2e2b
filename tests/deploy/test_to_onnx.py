"""ONNX models compute what the packed network computes."""

from __future__ import annotations

import builtins
import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.deploy.networks import (
    ARCHITECTURES,
    CLASSES,
    images,
    packed,
    relative_difference,
    trained,
)
from tests.quantizers.methods import METHODS
from ttq_repro.deploy.loading import build
from ttq_repro.deploy.packed import PackedNetwork
from ttq_repro.deploy.to_onnx import to_onnx
from ttq_repro.errors import UserError
from ttq_repro.files import ROOT

onnx = pytest.importorskip("onnx", reason="needs the extra `onnx`")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra `onnx`")


def run(model: bytes, batch: Tensor) -> Tensor:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"images": batch.numpy()})[0])


def initializers(model: bytes) -> dict[str, Any]:
    return {tensor.name: tensor for tensor in onnx.load_from_string(model).graph.initializer}


@pytest.fixture(scope="module")
def ttq() -> PackedNetwork:
    return packed(trained())


def test_float_weights_are_the_ternary_ones(ttq: PackedNetwork) -> None:
    model = to_onnx(ttq)
    weight = onnx.numpy_helper.to_array(initializers(model)["blocks.1.conv1.weight"])
    assert np.array_equal(weight, build(ttq, "unpacked").blocks[1].conv1.weight)
    assert len(np.unique(weight)) == 3
    assert relative_difference(run(model, images(7)), build(ttq)(images(7))) < 1e-5
    assert str(ROOT).encode() not in model
    assert b"site-packages" not in model
    (entry,) = onnx.load_from_string(model).metadata_props
    assert json.loads(entry.value)["classes"] == list(CLASSES)


@pytest.mark.parametrize(
    ("method", "terms"), [("ttq", 2), pytest.param("seq", 1, marks=pytest.mark.slow)]
)
def test_2_bit_integers_compute_the_same(method: str, terms: int) -> None:
    """A scale shared by both signs takes one term, separate W_p and W_n take two."""
    made = packed(trained(method=method), fold=True)
    model = to_onnx(made, "int2")
    stored = initializers(model)
    assert "blocks.0.conv1.weight" not in stored
    codes = [t for name, t in stored.items() if name.startswith("blocks.0.conv1.weight")]
    integers = [t for t in codes if t.data_type == onnx.TensorProto.INT2]
    assert len(integers) == terms
    assert {len(t.raw_data) for t in integers} == {16 * 16 * 9 // 4}
    expected = build(made)(images(7))
    assert relative_difference(run(model, images(7)), expected) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_every_method_computes_the_same(method: str) -> None:
    """With 2-bit integers too, if its levels allow them."""
    made = packed(trained(method=method))
    few = any(layer.lower == layer.upper == 1 for layer in made.layers)
    expected = build(made)(images(7))
    for weights in ("float", "int2") if few else ("float",):
        assert relative_difference(run(to_onnx(made, weights), images(7)), expected) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("fold", [False, True])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_computes_the_same(name: str, fold: bool) -> None:
    made = packed(trained(name), name, fold=fold)
    expected = build(made)(images(7))
    for weights in ("float", "int2"):
        assert relative_difference(run(to_onnx(made, weights), images(7)), expected) < 1e-5


def test_layers_of_more_levels_are_not_for_2_bits() -> None:
    with pytest.raises(ValueError, match="no layer has two or three levels"):
        to_onnx(packed(trained(method="dorefa_8bit")), "int2")


def test_an_unknown_kind_of_weights_is_named(ttq: PackedNetwork) -> None:
    with pytest.raises(ValueError, match="weights must be one of float, int2"):
        to_onnx(ttq, "int4")


def test_missing_packages_are_one_line(ttq: PackedNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_onnx(name: str, *arguments: Any) -> Any:
        if name == "onnx":
            raise ImportError("No module named 'onnx'")
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without_onnx)
    with pytest.raises(UserError, match="ONNX needs the packages of the extra `onnx`"):
        to_onnx(ttq)
