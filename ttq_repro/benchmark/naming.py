"""Names of benchmarks: what was measured, hardware and date."""

from __future__ import annotations

import re
from datetime import date


def benchmark_name(what: str, hardware: str) -> str:
    """The file name, without suffix, of a table."""
    slug = re.sub(r"[^a-z0-9]+", "-", hardware.lower()).strip("-")
    return f"{what}_{slug}_{date.today().isoformat()}"
