"""Our interval and the accepted region of a claim, as positions on a strip."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ttq_repro.report.ledger import Judgement

#: Share of the strip that stays empty at each end.
MARGIN = 0.08


@dataclass(frozen=True)
class Strip:
    """Positions in percent of the strip's width, left to right."""

    accepted: tuple[float, float]
    paper: float | None
    ours: float
    interval: tuple[float, float] | None


def strip(judgement: Judgement) -> Strip | None:
    """The strip of a judgement, None if we have no number."""
    if judgement.ours is None:
        return None
    claim, estimate = judgement.claim, judgement.ours
    low, high = claim.accept.low, claim.accept.high
    marks = [estimate.value, *(estimate.interval or ()), *filter(math.isfinite, (low, high))]
    if claim.value is not None:
        marks.append(claim.value)
    start, end = min(marks), max(marks)
    width = (end - start) or 1.0

    def place(value: float) -> float:
        share = MARGIN + (1 - 2 * MARGIN) * (value - start) / width
        return round(100 * min(1.0, max(0.0, share)), 2)

    return Strip(
        accepted=(place(low), place(high)),
        paper=None if claim.value is None else place(claim.value),
        ours=place(estimate.value),
        interval=estimate.interval and (place(estimate.interval[0]), place(estimate.interval[1])),
    )
