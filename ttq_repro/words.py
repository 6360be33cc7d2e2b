"""Numbers as a person would say them."""

from __future__ import annotations

UNITS = {"TB": 1e12, "GB": 1e9, "MB": 1e6, "kB": 1e3}


def duration(seconds: float | None) -> str:
    """A time, rounded to what is worth saying of it."""
    if seconds is None:
        return "time unknown"
    if seconds < 90:
        return f"about {seconds:.0f} s"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h"


def size(count: float) -> str:
    """Bytes, in the largest unit of which there is one."""
    for unit, worth in UNITS.items():
        if count >= worth:
            return f"{count / worth:.1f} {unit}"
    return f"{count:.0f} bytes"
