"""Table 1: error of ResNets on CIFAR-10, full precision, TTQ and the control."""

from __future__ import annotations

from pathlib import Path

from ttq_repro.paper.reported import TABLE1
from ttq_repro.report.captions import NOT_RUN, captioned, how_to_run
from ttq_repro.report.seeds import error_over_seeds, records_of
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.record import Record
from ttq_repro.runs.workspace import Workspace
from ttq_repro.table import Table

CAPTION = (
    "Table 1: test error in %, mean ± s.d. over n seeds, of the final epoch (never the best one). "
    "The control is the full-precision network trained on for as long as TTQ."
)
HEADER = [
    "ResNet", "budget, precision",
    "full precision, paper", "full precision, ours", "difference",
    "TTQ, paper", "TTQ, ours", "difference",
    "control, ours",
]  # fmt: skip

#: The records of each cell of one depth and budget, by column.
Found = dict[str, tuple[Cell, list[Record]]]


def render(cells: list[Cell], workspace: Workspace, home: Path) -> str:
    """Draw the table from the records of ``workspace``, write it below ``home``, return it."""
    return table1(cells, workspace).publish(home, "table1")


def table1(cells: list[Cell], workspace: Workspace) -> Table:
    """One row for each depth and setting that has a record, and for each depth that has none.

    A row never mixes budgets or precisions; differences are ours minus the paper's, for results
    alone: on digits they would mean nothing.
    """
    rows, missing = [], []
    for depth in sorted({cell.labels["depth"] for cell in cells}):
        by_setting: dict[str, Found] = {}
        for cell in cells:
            if cell.labels["depth"] == depth:
                found = by_setting.setdefault(cell.setting, {})
                found[cell.labels["column"]] = (cell, records_of(cell.run, workspace))
        recorded = [
            setting
            for setting, found in by_setting.items()
            if any(records for _, records in found.values())
        ]
        for setting in recorded or list(by_setting)[:1]:
            rows.append([str(depth), setting, *_row(depth, by_setting[setting])])
            missing += [cell for cell, records in by_setting[setting].values() if not records]
    return Table(captioned(CAPTION, cells[0]), HEADER, rows, how_to_run(missing))


def _row(depth: int, found: Found) -> list[str]:
    row = []
    for column in ("full_precision", "ttq"):
        reported = getattr(TABLE1[depth], column)
        records = found[column][1] if column in found else []
        ours = error_over_seeds(records)
        is_result = column in found and found[column][0].run.is_result
        difference = f"{ours.mean - reported:+.2f}" if ours and is_result else "-"
        row += [f"{reported:.2f}", _ours(found, column), difference]
    return [*row, _ours(found, "control")]


def _ours(found: Found, column: str) -> str:
    if column not in found:
        return "-"
    _, records = found[column]
    return str(error_over_seeds(records) or NOT_RUN)
