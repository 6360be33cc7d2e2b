"""A table as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from ttq_repro.files import write_atomically

#: Stands in a cell to which nothing applies.
NOTHING = "-"


@dataclass(frozen=True)
class Table:
    """Rows of text under a header, with a caption above and a note below, both in Markdown."""

    caption: str
    header: list[str]
    rows: list[list[str]]
    note: str = ""

    def markdown(self) -> str:
        lines = [self.caption, "", _line(self.header), _line(["---"] * len(self.header))]
        note = ["", self.note] if self.note else []
        return "\n".join([*lines, *map(_line, self.rows), *note, ""])

    def csv(self) -> str:
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows([self.header, *self.rows])
        return buffer.getvalue()

    @classmethod
    def read(cls, folder: Path, name: str) -> Table:
        """Read the files of :meth:`write`; a CSV file alone has neither caption nor note.

        Raises:
            ValueError: they are not the files of a table; the message names them.
        """
        path = folder / f"{name}.md"
        try:
            with (folder / f"{name}.csv").open(newline="") as stream:
                header, *rows = csv.reader(stream)
            text = path.read_text() if path.is_file() else ""
        except (ValueError, csv.Error) as error:
            raise ValueError(f"{folder / name}: not a table ({error})") from None
        caption, note = text.partition("\n| ")[0], text.rpartition("|\n")[2]
        return cls(caption.strip(), header, rows, note.strip())

    def publish(self, home: Path, name: str) -> str:
        """Write the table below ``home``, and return it in Markdown."""
        self.write(home / "tables", name)
        return self.markdown()

    def write(self, folder: Path, name: str) -> None:
        """Write ``name.md`` and ``name.csv`` into ``folder``."""
        write_atomically(folder / f"{name}.md", self.markdown().encode())
        write_atomically(folder / f"{name}.csv", self.csv().encode())


def _line(cells: list[str]) -> str:
    escaped = (cell.replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"
