"""The generated sections of the documentation, between their markers."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from ttq_repro.paper.differences import DIFFERENCES
from ttq_repro.table import Table


def difference_table() -> Table:
    """The contested choices, one per row."""
    rows = [
        [d.topic, d.paper, d.released, d.ours, _code(d.override), d.source] for d in DIFFERENCES
    ]
    header = ["topic", "paper", "released code, log", "ours", "override", "source"]
    return Table("", header, rows)


def pages(root: Path) -> list[Path]:
    """The documentation pages of a checkout."""
    return [root / "README.md", *sorted((root / "docs").glob("*.md"))]


def fill(text: str, results: Path) -> str:
    """``text`` with the current content between each ``<!-- name -->`` and ``<!-- /name -->``.

    Raises:
        KeyError: a name is not in ``SOURCES``.
    """
    return SECTION.sub(lambda found: _section(found["name"], results), text)


def _section(name: str, results: Path) -> str:
    content = SOURCES[name](results)
    return f"<!-- {name} -->\n{content.lstrip()}<!-- /{name} -->"


def _read(path: Path) -> str:
    return path.read_text() if path.is_file() else "(not rendered yet)\n"


def _code(override: str) -> str:
    return override if override == "none" else f"`{override}`"


SECTION = re.compile(r"<!-- (?P<name>\w+) -->\n.*?<!-- /(?P=name) -->", re.DOTALL)
#: The content of each section, given the folder of results.
SOURCES: dict[str, Callable[[Path], str]] = {
    "answer": lambda results: _read(results / "answer.md"),
    "table1": lambda results: _read(results / "tables/table1.md"),
    "differences": lambda _: difference_table().markdown(),
}
