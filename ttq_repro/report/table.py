"""A table as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from ttq_repro.files import write_atomically


@dataclass(frozen=True)
class Table:
    """Rows of text under a header, with a caption in Markdown."""

    caption: str
    header: list[str]
    rows: list[list[str]]

    def markdown(self) -> str:
        lines = [self.caption, "", _line(self.header), _line(["---"] * len(self.header))]
        return "\n".join([*lines, *map(_line, self.rows), ""])

    def csv(self) -> str:
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows([self.header, *self.rows])
        return buffer.getvalue()

    @classmethod
    def read(cls, folder: Path, name: str) -> Table:
        """What :meth:`write` left; a CSV file alone has no caption."""
        with (folder / f"{name}.csv").open(newline="") as stream:
            header, *rows = csv.reader(stream)
        text = folder / f"{name}.md"
        caption = text.read_text().partition("\n| ")[0].strip() if text.is_file() else ""
        return cls(caption, header, rows)

    def write(self, folder: Path, name: str) -> None:
        """Write ``name.md`` and ``name.csv`` into ``folder``."""
        write_atomically(folder / f"{name}.md", self.markdown().encode())
        write_atomically(folder / f"{name}.csv", self.csv().encode())


def _line(cells: list[str]) -> str:
    escaped = (cell.replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"
