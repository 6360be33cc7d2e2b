"""Made-up records of AlexNet-BN, as training would leave them, to draw."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.report.plain_records import trained
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.record import Record, pack_codes

#: Name, weights and kernels of each layer.
LAYERS = {
    "features.0": (41_472, 0),
    "features.2.0": (307_200, 12_288),
    "features.3.0": (884_736, 98_304),
    "features.4.0": (663_552, 73_728),
    "features.5.0": (442_368, 49_152),
    "classifier.0.0": (37_748_736, 0),
    "classifier.1.0": (16_777_216, 0),
    "classifier.2": (4_096_000, 0),
}
TERNARY = list(LAYERS)[1:-1]


def alexnet(cell: Cell, seed: int = 1, error: float = 0.425, **fields: Any) -> Record:
    """A record of TTQ whose k-th ternary layer, counted from 0, ends with 70 + k % zeros."""
    epochs = cell.run.epochs

    def shares(first: float, last: float = 0.1) -> list[float]:
        return [first] * (epochs - 1) + [last]

    zeros = {name: 0.7 + 0.01 * place for place, name in enumerate(TERNARY)}
    made = {
        "decisions": [
            {"layer": name, "quantize": name in TERNARY, "reason": "", "weights": weights}
            for name, (weights, _) in LAYERS.items()
        ],
        "layers": {
            name: {"zero": shares(0.5, share), "negative": shares(0.2), "positive": shares(0.3)}
            for name, share in zeros.items()
        },
        "histograms": {name: {"before": {"zero": 0.5}} for name in TERNARY},
        "kernels": {
            name: {
                "count": kernels,
                "empty": kernels // 4,
                "single": kernels // 8,
                "shape": [10, 10, size, size],
                "codes": pack_codes(codes(size)),
            }
            for name, (_, kernels) in LAYERS.items()
            if kernels
            for size in [5 if name == "features.2.0" else 3]
        },
    }
    return trained(cell, seed, error, **(made | fields))


def codes(size: int) -> np.ndarray:
    return np.random.default_rng(size).integers(-1, 2, (10, 10, size, size))
