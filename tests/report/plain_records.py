"""Records and a released log with known numbers, to check what figures draw from them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from tests.records import record
from ttq_repro.paper.claims import CIFAR10_LOG
from ttq_repro.report.released_log import released_name
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.record import Record

LAYERS = [*(f"blocks.{block}.conv{conv}" for block in range(9) for conv in (1, 2)), "linear"]


def trained(cell: Cell, seed: int, error: float = 0.1, **fields: Any) -> Record:
    """A record of a run of a cell whose error falls to ``error``, its scales growing with seed."""
    epochs = cell.run.epochs
    falling = (error * np.linspace(3, 1, epochs)).tolist()
    falling[-1] = error
    layer = {
        "positive_scale": np.linspace(1, 1 + seed / 10, epochs).tolist(),
        "negative_scale": np.linspace(1, 1 - seed / 10, epochs).tolist(),
        "negative": [0.3] * epochs,
        "zero": [0.4] * epochs,
        "positive": [0.3] * epochs,
    }
    known = {
        "identity": cell.run.identity,
        "seed": seed,
        "config": cell.run.config,
        "metrics": {"test_error": falling, "train_error": [value / 2 for value in falling]},
        "test_error": {"final": error} | fields.pop("test_error", {}),
        "layers": dict.fromkeys(LAYERS, layer),
        "decisions": [
            {"layer": name, "quantize": True, "reason": "Conv2d", "weights": 100} for name in LAYERS
        ],
    }
    return record(**(known | fields))


def child(
    cell: Cell, seed: int, error: float = 0.1, started_from: str = "p", **fields: Any
) -> Record:
    """As :func:`trained`, from a parent whose weights have the checksum ``started_from``."""
    parent = {"identity": cell.run.parent.identity, "weights_sha256": started_from}
    return trained(cell, seed, error, parent=parent, **fields)


def write_log(folder: Path, epochs: int = 400) -> str:
    """A log with the columns of the released one, in which every value is its epoch / 1000."""
    columns = ["epoch", "train_error", "validation_error"]
    columns += [f"{released_name(layer)}/{scale}" for layer in LAYERS for scale in ("Wp", "Wn")]
    with (folder / CIFAR10_LOG).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([[epoch / 1000] * len(columns) for epoch in range(1, epochs + 1)])
    return str(folder)
