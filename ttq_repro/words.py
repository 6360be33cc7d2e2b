"""Numbers as a person would say them."""

from __future__ import annotations


def duration(seconds: float | None) -> str:
    """A time, rounded to what is worth saying of it."""
    if seconds is None:
        return "time unknown"
    if seconds < 90:
        return f"about {seconds:.0f} s"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h"
