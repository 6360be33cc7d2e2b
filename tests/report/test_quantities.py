"""The quantities that claims read from a record."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.records import record
from ttq_repro.paper.rules import (
    Density,
    Error,
    ErrorDrop,
    GeneralizationGap,
    LayerChange,
    Quantity,
    SparseKernels,
)
from ttq_repro.report.quantities import measure, outlier

DECISIONS = [
    {"layer": "stem", "quantize": False, "reason": "first layer", "weights": 100},
    {"layer": "a", "quantize": True, "reason": "Conv2d", "weights": 200},
    {"layer": "b", "quantize": True, "reason": "Conv2d", "weights": 300},
    {"layer": "fc", "quantize": True, "reason": "Linear", "weights": 400},
]
LAYERS = {
    "a": {"positive_scale": [1.0, 0.7], "zero": [0.2, 0.5]},
    "b": {"positive_scale": [1.0, 1.4], "zero": [0.2, 0.25]},
    "fc": {"positive_scale": [1.0, 2.0], "zero": [0.5, 0.75]},
}
FULL = record(
    decisions=DECISIONS,
    layers=LAYERS,
    metrics={"test_error": [0.6, 0.5, 0.3, 0.1], "train_error": [0.6, 0.5, 0.2, 0.02]},
    test_error={"final": 0.1},
)


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        (Error(), 10),
        (Error("train"), 2),
        (GeneralizationGap(), 8),
        (ErrorDrop(2, window=2), 20 - 55),
        (Density((1,)), 50),
        (Density((0, 1, 3)), 100 * (100 + 200 * 0.5 + 400 * 0.25) / 700),
        (LayerChange("first", "positive_scale"), -0.3),
        (LayerChange("last convolution", "positive_scale"), 0.4),
        (LayerChange("last linear", "zero"), 25),
    ],
)
def test_reads(quantity: Quantity, expected: float) -> None:
    assert measure(FULL, quantity) == pytest.approx(expected)


def test_the_kind_of_a_layer_does_not_depend_on_the_words_of_a_policy() -> None:
    reworded = [d | {"reason": "rest", "kind": d["reason"]} for d in DECISIONS]
    change = LayerChange("last convolution", "positive_scale")
    assert measure(replace(FULL, decisions=reworded), change) == pytest.approx(0.4)


@pytest.mark.parametrize(
    "quantity",
    [
        Error(top=5),
        ErrorDrop(64),
        Density((1,)),
        LayerChange("first", "zero"),
        SparseKernels(),
    ],
)
def test_what_a_record_does_not_hold_is_none(quantity: Quantity) -> None:
    assert measure(record(test_error={"final": 0.1}), quantity) is None


def test_one_epoch_is_no_outlier() -> None:
    assert outlier(record(test_error={"final": 0.5})) is None
