"""Rows of the table of times: what was computed by which engine, how fast and how accurately."""

from __future__ import annotations

from ttq_repro.benchmark.timing import Interval, Timings
from ttq_repro.table import NOTHING

HEADER = [
    "network", "batch", "computed by", "ms", "ms, 95%",
    "percent of float32", "percent, 95%", "weights, MB", "error of logits", "target",
]  # fmt: skip


def row(
    labels: list[str],
    timings: Timings,
    name: str,
    reference: str,
    *,
    megabytes: float,
    error: float,
    verdicts: list[str],
) -> list[str]:
    """The row with the times of candidate ``name``, relative to candidate ``reference``."""
    return [
        *(*labels, name),
        *_with_interval(timings.of(name), 1000, 2 if timings.of(name).median > 1e-4 else 4),
        *_with_interval(timings.ratio(name, reference), 100, 1),
        f"{megabytes:.2f}",
        f"{error:.1e}",
        ", ".join(verdicts) or NOTHING,
    ]


def _with_interval(interval: Interval, unit: float, digits: int) -> list[str]:
    middle, low, high = (
        f"{unit * value:.{digits}f}" for value in (interval.median, interval.low, interval.high)
    )
    return [middle, f"{low} to {high}"]
