"""The parts of README.md that are drawn from data, between their markers."""

from __future__ import annotations

import re
from pathlib import Path

from ttq_repro.paper.differences import DIFFERENCES
from ttq_repro.table import Table


def difference_table() -> Table:
    """The contested choices, one a row."""
    rows = [
        [d.topic, d.paper, d.released, d.ours, _code(d.override), d.source] for d in DIFFERENCES
    ]
    header = ["topic", "paper", "released code, log", "ours", "override", "source"]
    return Table("", header, rows)


def fill(text: str, results: Path) -> str:
    """``text`` with the current content between ``<!-- name -->`` and ``<!-- /name -->``."""
    sections = {"differences": difference_table().markdown()}
    for name, path in (("answer", results / "answer.md"), ("table1", results / "tables/table1.md")):
        sections[name] = path.read_text() if path.is_file() else "(not rendered yet)\n"
    for name, content in sections.items():
        start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
        if not pattern.search(text):
            raise ValueError(f"no section {start.strip()} in the text")
        section = start + content.lstrip() + end
        text = pattern.sub(section.replace("\\", r"\\"), text)
    return text


def _code(override: str) -> str:
    return override if override == "none" else f"`{override}`"
