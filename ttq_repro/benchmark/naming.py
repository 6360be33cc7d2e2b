"""Benchmarks are named by what, hardware and date."""

from __future__ import annotations

import re
from datetime import date


def benchmark_name(what: str, hardware: str) -> str:
    """The name of a table in results/benchmarks."""
    slug = re.sub(r"[^a-z0-9]+", "-", hardware.lower()).strip("-")
    return f"{what}_{slug}_{date.today().isoformat()}"
