"""Made-up records, as training would leave them, drawn from a seed."""

from __future__ import annotations

import zlib

import numpy as np

from tests.records import HISTOGRAMS, PROVENANCE, record
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.record import Record, pack_correct

IMAGES = 10_000


def made(cell: Cell, seed: int, error: float, epochs: int = 30) -> Record:
    """A record of ``cell`` whose network fails on about a share ``error`` of the images.

    Which images are hard is the same for all networks and seeds, as on a real test set.
    """
    generator = np.random.default_rng([seed, zlib.crc32(cell.run.identity.encode())])
    hard = np.random.default_rng(0).normal(size=IMAGES)
    difficulty = hard + 0.5 * generator.normal(size=IMAGES)
    error += generator.normal(0, 0.0015)
    correct = difficulty < np.quantile(difficulty, 1 - error)
    curve = np.round(np.linspace(0.5, 1 - correct.mean(), epochs), 5).tolist()
    convolutions = [f"blocks.{n // 2}.conv{1 + n % 2}" for n in range(18)]
    kinds = dict.fromkeys(convolutions, "Conv2d") | {"linear": "Linear"}
    quantized = cell.run.quantizer != "full_precision"
    shares = np.round(generator.uniform(0.2, 0.4, (len(kinds), 5, epochs)), 6).tolist()
    quantities = ("positive_scale", "negative_scale", "negative", "zero", "positive")
    return record(
        identity=cell.run.identity,
        seed=seed,
        config=cell.run.config | {"seed": seed},
        parent={"identity": cell.run.parent.identity, "weights_sha256": "0" * 64}
        if cell.run.parent and quantized
        else None,
        decisions=[
            {"layer": "stem.0", "quantize": False, "reason": "first layer", "weights": 432},
            *(
                {"layer": name, "quantize": True, "reason": kind, "weights": 2304}
                for name, kind in kinds.items()
            ),
        ],
        metrics={
            "seconds": [60.0] * epochs, "train_loss": curve, "test_loss": curve,
            "train_error": [value / 2 for value in curve], "test_error": curve,
            "learning_rate": curve,
        },
        layers={
            name: dict(zip(quantities, values, strict=True))
            for name, values in zip(kinds, shares, strict=True)
        }
        if quantized
        else {},
        test_error={"final": curve[-1], "best": curve[-1], "trailing": curve[-2]},
        correct=pack_correct(correct),
        test_images=IMAGES,
        weights_sha256="0" * 64 if not quantized else "1" * 64,
        histograms=dict.fromkeys(kinds, HISTOGRAMS) if quantized else {},
        provenance=PROVENANCE | {"commit": "0123456789abcdef", "dirty": False},
    )  # fmt: skip
