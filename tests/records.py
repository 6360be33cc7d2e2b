"""Records that tests make up, and those of a workspace, compared without times."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ttq_repro.runs.record import Record, pack_correct
from ttq_repro.runs.validation import METRICS, TEST_ERRORS

#: On a CPU, in a moment.
PROVENANCE = {
    "accelerator": "CPUAccelerator", "compiled": False, "device": "cpu",
    "finished": "2026-01-01T00:00:00+00:00", "graphed": False, "processor": "a CPU", "threads": 1,
    "train_images": 1000, "versions": {"torch": "2.0"},
}  # fmt: skip

#: What a record's provenance says of the device.
ON_CPU, ON_GPU = {"device": "cpu"}, {"device": "a GPU"}

#: Fields of a record that do not depend on timing.
COMPARED = ("parent", "test_error", "correct", "weights_sha256", "layers")


INPUTS = {
    "size": [32, 32], "crop_fraction": 1.0, "mean": [0.5] * 3, "std": [0.25] * 3,
    "classes": list("0123456789"),
}  # fmt: skip


def _moment(positive_scale: float, counts: list[int]) -> dict:
    return {
        "largest": 0.4, "counts": counts, "negative": 0.25, "zero": 0.5, "positive": 0.25,
        "positive_scale": positive_scale, "negative_scale": 1.0,
    }  # fmt: skip


#: Those of a layer of four equal groups of weights.
COUNTS = [25, *[0] * 38, 25, 25, *[0] * 38, 25]
HISTOGRAMS = {"before": _moment(1, COUNTS), "after": _moment(1.75, COUNTS)}


def record(*, wrong_from: int = 0, **fields: Any) -> Record:
    """A record with the fields that matter to a test, and consistent defaults for the others.

    Args:
        wrong_from: the first of the test images that its network gets wrong, which are successive
            and as many as its final error says.
    """
    metrics, errors = fields.pop("metrics", {}), fields.pop("test_error", {})
    epochs = max([len(curve) for curve in metrics.values()], default=1)
    final = errors.get("final", [0.5, *metrics.get("test_error", ())][-1])
    metrics = {name: [final] * epochs for name in METRICS} | metrics
    errors = dict.fromkeys(TEST_ERRORS, final) | errors
    images = fields.get("test_images", 1000)
    correct = np.roll(np.arange(images) >= round(final * images), wrong_from)
    empty = {
        "identity": "a-1", "seed": 1, "parent": None, "decisions": [], "layers": {},
        "config": {"data": {"name": "cifar10"}}, "inputs": INPUTS,
        "correct": pack_correct(correct), "test_images": images, "weights_sha256": "",
    }  # fmt: skip
    provenance = PROVENANCE | fields.pop("provenance", {})
    return Record(**(empty | fields), metrics=metrics, test_error=errors, provenance=provenance)


def results(workspace: Path) -> dict[str, dict[str, object]]:
    """The records of a workspace by identity, without times."""
    return {
        record.identity: {key: getattr(record, key) for key in COMPARED}
        | {key: values for key, values in record.metrics.items() if key != "seconds"}
        for record in _records(workspace)
    }


def resumptions(workspace: Path) -> int:
    """How many times the runs of a workspace went on from a checkpoint."""
    return sum(len(record.provenance["earlier"]) for record in _records(workspace))


def _records(workspace: Path) -> list[Record]:
    return [Record.read(path) for path in workspace.rglob("records/**/*.json")]
