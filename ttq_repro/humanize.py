"""Human-readable durations, counts and sizes."""

from __future__ import annotations

UNITS = {"TB": 1e12, "GB": 1e9, "MB": 1e6, "kB": 1e3}


def duration(seconds: float | None) -> str:
    """A duration, rounded to a sensible precision."""
    if seconds is None:
        return "time unknown"
    if seconds < 90:
        return f"about {seconds:.0f} s"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h"


def counted(number: int, noun: str) -> str:
    """A number of things, such as "1 epoch" or "3 epochs"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def size(count: float) -> str:
    """A number of bytes in the largest unit of which it holds at least one."""
    for unit, worth in UNITS.items():
        if count >= worth:
            return f"{count / worth:.1f} {unit}"
    return f"{count:.0f} bytes"
