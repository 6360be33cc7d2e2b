"""Records that tests make up, and those of a workspace, compared without times."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ttq_repro.runs.record import Record, pack_correct
from ttq_repro.runs.validation import METRICS, TEST_ERRORS

#: Fields of a record that do not depend on timing.
COMPARED = ("parent", "test_error", "correct", "weights_sha256", "layers")


def record(**fields: Any) -> Record:
    """A record with the fields that matter to a test, and consistent defaults for the others."""
    metrics, errors = fields.pop("metrics", {}), fields.pop("test_error", {})
    epochs = max([len(curve) for curve in metrics.values()], default=1)
    final = errors.get("final", [0.5, *metrics.get("test_error", ())][-1])
    metrics = {name: [final] * epochs for name in METRICS} | metrics
    errors = dict.fromkeys(TEST_ERRORS, final) | errors
    images = fields.get("test_images", 1000)
    empty = {
        "identity": "a-1", "seed": 1, "config": {}, "parent": None, "decisions": [], "layers": {},
        "correct": pack_correct(np.arange(images) >= round(final * images)), "test_images": images,
        "weights_sha256": "", "provenance": {},
    }  # fmt: skip
    return Record(**(empty | fields), metrics=metrics, test_error=errors)


def results(workspace: Path) -> dict[str, dict[str, object]]:
    """The records of a workspace by identity, without times."""
    records = [Record.read(path) for path in workspace.rglob("records/**/*.json")]
    return {
        record.identity: {key: getattr(record, key) for key in COMPARED}
        | {key: values for key, values in record.metrics.items() if key != "seconds"}
        for record in records
    }
