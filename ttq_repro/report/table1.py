"""Table 1: error of ResNets on CIFAR-10, full precision, TTQ and the control."""

from __future__ import annotations

from ttq_repro.paper.reported import TABLE1
from ttq_repro.report.captions import BOTH_KINDS, captioned, error_of, notes_on, trailing_of
from ttq_repro.report.seeds import CellRecords, error_over_seeds, found_of, with_machines
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.workspace import Workspace
from ttq_repro.table import NOTHING, Table

CAPTION = (
    "Table 1: test error in %, mean ± s.d. over n seeds, of the final epoch (never the best "
    "one). Trailing: the mean over the last eighth of the epochs. The paper reports a moving "
    "average but does not state its window. Control: the full-precision network trained further "
    "for as long as TTQ. At the `paper` budget, TTQ trains two epochs, that is two passes over the "
    "images, at a learning rate of 2e-4 first, as the released log does in its first epoch; then "
    "it follows the paper's schedule up to epoch 160. Full precision follows the schedule of He et "
    "al. (2015), as the paper states none for it, with the L2 that the paper gives for TTQ. Other "
    f"budgets are ours. {BOTH_KINDS}"
)
HEADER = [
    "ResNet", "budget, precision",
    "full precision, paper", "full precision, ours", "full precision, trailing",
    "TTQ, paper", "TTQ, ours", "TTQ, trailing",
    "control, ours", "control, trailing",
]  # fmt: skip

#: The methods that have columns: those that the paper reports, and the control.
REPORTED, CONTROL = ("full_precision", "ttq"), "control"

#: The cells of one depth and setting, by method.
ByMethod = dict[str, CellRecords]


def table1(cells: list[Cell], workspace: Workspace) -> Table:
    """For each depth, one row for each setting that has a record, and one for the first budget.

    A row never mixes budgets or precisions.
    """
    rows: list[list[str]] = []
    shown: list[CellRecords] = []
    for depth in sorted({cell.labels["depth"] for cell in cells}):
        by_setting: dict[str, ByMethod] = {}
        for cell in cells:
            if cell.labels["depth"] == depth:
                found = by_setting.setdefault(cell.setting, {})
                found[cell.labels["method"]] = found_of(cell, workspace)
        for setting in _settings(by_setting):
            by_method = by_setting[setting]
            machines = (r.machines for one in by_method.values() for r in one.records.values())
            rows.append([str(depth), with_machines(setting, machines), *_row(depth, by_method)])
            shown += by_method.values()
    note = notes_on(shown, *map(_beside, shown))
    return Table(captioned(CAPTION, cells[0]), HEADER, rows, note)


def _settings(by_setting: dict[str, ByMethod]) -> list[str]:
    """The settings that have a record; before them the first one, if its budget has none."""
    recorded = [
        setting
        for setting, found in by_setting.items()
        if any(one.records for one in found.values())
    ]
    first = next(iter(by_setting))
    if _budget(by_setting[first]) not in {_budget(by_setting[setting]) for setting in recorded}:
        recorded.insert(0, first)
    return recorded


def _budget(found: ByMethod) -> str:
    return next(iter(found.values())).cell.budget


def _beside(one: CellRecords) -> str:
    """A note on a cell that has no column in the table; empty for other cells."""
    if one.cell.labels["method"] in (*REPORTED, CONTROL) or not one.records:
        return ""
    return f"{one.title} ({one.cell.setting}): {error_over_seeds(one.records.values())}"


def _row(depth: int, found: ByMethod) -> list[str]:
    row: list[str] = []
    for method in REPORTED:
        row += [f"{getattr(TABLE1[depth], method):.2f}", *_ours(found.get(method))]
    return [*row, *_ours(found.get(CONTROL))]


def _ours(one: CellRecords | None) -> list[str]:
    """The final and the trailing error."""
    return [error_of(one), trailing_of(one)] if one else [NOTHING, NOTHING]
