"""A figure and its caption, written to reproducible files."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from matplotlib.figure import Figure

from ttq_repro.files import write_atomically
from ttq_repro.report import style
from ttq_repro.report.captions import captioned, drawn_from, stand_in
from ttq_repro.report.seeds import CellRecords
from ttq_repro.table import Table


@dataclass(frozen=True)
class Drawing:
    """A figure that was drawn.

    Attributes:
        caption: in Markdown; settings, seeds and caveats are added to it.
        found: the cells that it shows.
        tables: those that belong to it, by the suffix of their files' names.
    """

    figure: Figure
    caption: str
    found: list[CellRecords]
    tables: Mapping[str, Table] = field(default_factory=dict)

    def markdown(self) -> str:
        return f"{captioned(self.caption, self.found[0].cell)}\n\n{drawn_from(self.found)}\n"

    @style.styled
    def publish(self, home: Path, name: str) -> str:
        """Write ``figures/NAME.png``, ``.svg``, the caption ``.md``, and tables below ``home``.

        Returns:
            The caption and the tables in Markdown.
        """
        if warning := stand_in(self.found[0].cell):
            self.figure.suptitle(warning, fontsize=7, color=style.VERMILLION)
        for suffix, metadata in (
            ("png", {"Software": None}),
            ("svg", {"Date": None, "Creator": None}),
        ):
            buffer = io.BytesIO()
            self.figure.savefig(buffer, format=suffix, metadata=metadata)
            write_atomically(home / "figures" / f"{name}.{suffix}", buffer.getvalue())
        text = self.markdown()
        write_atomically(home / "figures" / f"{name}.md", text.encode())
        tables = (table.publish(home, f"{name}{end}") for end, table in self.tables.items())
        return "\n".join((text, *tables))
