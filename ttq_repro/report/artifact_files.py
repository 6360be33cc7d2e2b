"""The files of tables and figures: how they are named, and in which order readers see them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ttq_repro.runs.cell import Cell
from ttq_repro.runs.run import PAPERS_DATASETS

#: The artifacts in the order in which a reader would look for them.
ORDER = (
    "table1", "comparison", "figure3", "figure2", "figure5", "ablations", "equality",
    "best_ternary", "figure1", "authors_code", "table2", "table3", "table4", "figure4", "figure6",
)  # fmt: skip


def in_order(files: Iterable[Path]) -> list[Path]:
    """Files in the ``ORDER`` of the artifacts that their names start with; others come last."""

    def rank(path: Path) -> tuple[int, str]:
        places = [place for place, name in enumerate(ORDER) if path.stem.startswith(name)]
        return (min(places, default=len(ORDER)), path.stem)

    return sorted(files, key=rank)


def file_name(artifact: str, cell: Cell) -> str:
    """The name of an artifact's files, which for a stand-in includes the data set."""
    dataset = cell.run.dataset
    return artifact if dataset in PAPERS_DATASETS else f"{artifact}_{dataset}"
