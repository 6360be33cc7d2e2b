"""Table 1: error of ResNets on CIFAR-10, full precision, TTQ and the control."""

from __future__ import annotations

from pathlib import Path

from ttq_repro.paper.claims import METHODS
from ttq_repro.paper.reported import TABLE1
from ttq_repro.report.captions import captioned, error_of, notes_on, trailing_of
from ttq_repro.report.seeds import CellRecords, error_over_seeds, found_of, with_machines
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.workspace import Workspace
from ttq_repro.table import NOTHING, Table

CAPTION = (
    "Table 1: test error in %, mean ± s.d. over n seeds, of the final epoch (never the best "
    "one). Trailing: the mean of the last eighth of the epochs; the paper reports a moving "
    "average over a window that it does not state. Control: the full-precision network trained "
    "further for as long as TTQ. At the `paper` budget TTQ's first two epochs use a learning "
    "rate of 2e-4, as the released log does. Only `paper` rows follow the paper's schedule."
)
HEADER = [
    "ResNet", "budget, precision",
    "full precision, paper", "full precision, ours", "trailing",
    "TTQ, paper", "TTQ, ours", "trailing",
    "control, ours", "trailing",
]  # fmt: skip

#: The cells of one depth and setting, by column.
ByColumn = dict[str, CellRecords]


def render(cells: list[Cell], workspace: Workspace, home: Path) -> str:
    """Draw the table from the records of ``workspace``, write it below ``home``, return it."""
    return table1(cells, workspace).publish(home, "table1")


def table1(cells: list[Cell], workspace: Workspace) -> Table:
    """One row for each depth and setting that has a record, and for each depth that has none.

    A row never mixes budgets or precisions.
    """
    rows: list[list[str]] = []
    shown: list[CellRecords] = []
    for depth in sorted({cell.labels["depth"] for cell in cells}):
        by_setting: dict[str, ByColumn] = {}
        for cell in cells:
            if cell.labels["depth"] == depth:
                found = by_setting.setdefault(cell.setting, {})
                found[cell.labels["column"]] = found_of(cell, workspace)
        recorded = [
            setting
            for setting, found in by_setting.items()
            if any(one.records for one in found.values())
        ]
        for setting in recorded or list(by_setting)[:1]:
            columns = by_setting[setting]
            machines = (r.machine for one in columns.values() for r in one.records.values())
            rows.append([str(depth), with_machines(setting, machines), *_row(depth, columns)])
            shown += columns.values()
    note = notes_on(shown, *map(_beside, shown), name=_name)
    return Table(captioned(CAPTION, cells[0]), HEADER, rows, note)


def _beside(one: CellRecords) -> str:
    """A note on a titled cell, which has no column in the table; empty for other cells."""
    if "title" not in one.cell.labels or not one.records:
        return ""
    return f"{_name(one)} ({one.cell.setting}): {error_over_seeds(one.records.values())}"


def _name(one: CellRecords) -> str:
    """The name of a cell in the notes below the table."""
    labels = one.cell.labels
    column = labels["column"]
    return f"ResNet-{labels['depth']}, {labels.get('title', METHODS.get(column, column))}"


def _row(depth: int, found: ByColumn) -> list[str]:
    row: list[str] = []
    for column in ("full_precision", "ttq"):
        row += [f"{getattr(TABLE1[depth], column):.2f}", *_ours(found.get(column))]
    return [*row, *_ours(found.get("control"))]


def _ours(one: CellRecords | None) -> list[str]:
    """The final and the trailing error."""
    return [error_of(one), trailing_of(one)] if one else [NOTHING, NOTHING]
