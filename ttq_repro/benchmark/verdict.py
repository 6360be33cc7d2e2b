"""Verdicts: whether a measurement meets its target on this processor."""

from __future__ import annotations

from ttq_repro.benchmark.timing import Interval
from ttq_repro.runs.hardware import cpu_flags


def verdict(
    found: Interval | None,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    needs: str | None = None,
    lacks: str | None = None,
) -> str:
    """The bound, and whether all of the interval meets it, none of it, or a part (undecided).

    Args:
        found: the measurement; None if there is none.
        needs, lacks: instruction sets, as Linux names them; the target applies to processors that
            have the former and lack the latter.
    """
    text = f">= {at_least:g}" if at_least is not None else f"<= {at_most:g}"
    flags = cpu_flags()
    if needs is not None and needs not in flags:
        return f"{text} with {needs}: not for this CPU"
    if lacks in flags:
        return f"{text} without {lacks}: not for this CPU"
    if found is None:
        return f"{text}: not measured"
    kept = [
        (at_least is None or value >= at_least) and (at_most is None or value <= at_most)
        for value in (found.low, found.high)
    ]
    return f"{text}: {'met' if all(kept) else 'undecided' if any(kept) else 'not met'}"
