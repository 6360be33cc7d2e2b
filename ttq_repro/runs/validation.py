"""Checks of everything that tables and figures rely on in a record, whoever wrote it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ttq_repro.runs.record import Record

#: The metrics and the test errors that every record holds.
METRICS = {"train_error", "test_error", "seconds"}
TEST_ERRORS = {"final", "best", "trailing"}
INPUTS = {"size", "crop_fraction", "mean", "std", "classes"}
#: What it holds about its parent, if it has one, and about each decision.
PARENT, DECISION = {"identity", "weights_sha256"}, {"layer", "quantize", "reason", "weights"}
#: What it holds about the process that finished it. Commit and ``dirty`` are missing outside git.
PROVENANCE = {
    "accelerator", "compiled", "device", "finished", "graphed", "processor", "threads",
    "train_images", "versions",
}  # fmt: skip
#: Those of them that are text.
TEXTS = ("accelerator", "device", "finished", "processor")
#: The quantizer whose layers figures draw; others need not report on theirs.
DRAWN = "ttq_repro.quantizers.TTQ"


def check(record: Record) -> None:
    """Raise a ValueError if fields are missing, differ in length, or contradict each other."""
    _check_keys(record)
    _check_layers(record)
    _check_curves(record)
    _check_final_error(record)


def _check_keys(record: Record) -> None:
    needed: list[tuple[Mapping[str, Any], set[str]]] = [
        (record.metrics, METRICS),
        (record.test_error, TEST_ERRORS),
        (record.inputs, INPUTS),
        (record.provenance, PROVENANCE),
        (record.config, set()),
    ]
    needed += [(decision, DECISION) for decision in record.decisions]
    if record.parent is not None:
        needed.append((record.parent, PARENT))
    needed += [(stint, {"device"}) for stint in record.stints]
    for found, names in needed:
        if missing := names - found.keys():
            raise ValueError(f"it has no {min(missing)}")
    if type(record.seed) is not int:
        raise ValueError("its seed is not a whole number")
    for name in TEXTS:
        if not isinstance(record.provenance[name], str):
            raise ValueError(f"its {name} is not text")


def _check_layers(record: Record) -> None:
    if record.config.get("quantizer", {}).get("_target_") != DRAWN:
        return
    quantized = {decision["layer"] for decision in record.decisions if decision["quantize"]}
    if different := quantized ^ record.layers.keys():
        raise ValueError(f"its decisions and its layers disagree on {min(different)}")


def _check_curves(record: Record) -> None:
    layers = [curve for layer in record.layers.values() for curve in layer.values()]
    if len({len(curve) for curve in [*record.metrics.values(), *layers]}) > 1:
        raise ValueError("its metrics and layers differ in length")
    if not record.metrics["seconds"]:
        raise ValueError("it has no epochs")
    # Losses are not drawn, and the test loss may be infinite for an epoch.
    metrics = [curve for name, curve in record.metrics.items() if not name.endswith("_loss")]
    if not np.isfinite(np.concatenate([*metrics, *layers, [*record.test_error.values()]])).all():
        raise ValueError("not all of its numbers are finite")


def _check_final_error(record: Record) -> None:
    images, final = record.test_images, record.test_error["final"]
    if images < 1 or len(base64.b64decode(record.correct)) != -(-images // 8):
        raise ValueError(f"it does not have one bit for each of {images} test images")
    if final != record.metrics["test_error"][-1]:
        raise ValueError("its final test error is not that of its last epoch")
    # Errors are rounded, but by less than one image.
    wrong = images - int(record.correct_images().sum())
    if abs(final * images - wrong) >= 1:
        raise ValueError(
            f"its final test error does not match {wrong} wrong answers on {images} images"
        )
