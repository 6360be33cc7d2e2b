"""Table 1: error of ResNets on CIFAR-10, full precision and TTQ."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from ttq_repro.paper.reported import TABLE1
from ttq_repro.report.table import Table
from ttq_repro.runs.record import Record, read_records
from ttq_repro.runs.run import Run
from ttq_repro.runs.workspace import Workspace

CAPTION = (
    "Table 1: test error in %, mean ± s.d. over n seeds, of the final epoch (never the best one)."
)
STAND_IN = (
    "**Not the paper's numbers:** {dataset}, {budget} budget, a check that everything works. "
)
HEADER = [
    "ResNet", "budget",
    "full precision, paper", "full precision, ours", "difference",
    "TTQ, paper", "TTQ, ours", "difference",
]  # fmt: skip
NOT_RUN = "not run"


@dataclass(frozen=True)
class Cell:
    """A depth, a column, the run that fills the cell (at any seed), the command that runs it."""

    depth: int
    column: str
    run: Run
    command: str

    @property
    def budget(self) -> str:
        return self.run.config["recipe"]["parent"]


def render(cells: list[Cell], workspace: Workspace, folder: Path) -> str:
    """Draw the table from the records of ``workspace``, write it to ``folder``, return it."""
    table = table1(cells, workspace)
    table.write(folder, "table1")
    return table.markdown()


def table1(cells: list[Cell], workspace: Workspace) -> Table:
    """One row a depth, at the first budget in ``cells`` that has a record for that depth.

    A row never mixes budgets; differences are ours minus the paper's.
    """
    rows = []
    for depth in sorted({cell.depth for cell in cells}):
        of_depth = [cell for cell in cells if cell.depth == depth]
        budgets = list(dict.fromkeys(cell.budget for cell in of_depth))
        found = {
            budget: {
                cell.column: records_of(cell.run, workspace)
                for cell in of_depth
                if cell.budget == budget
            }
            for budget in budgets
        }
        budget = next((b for b in budgets if any(found[b].values())), budgets[0])
        row = [str(depth), budget]
        for column in ("full_precision", "ttq"):
            cell = next(c for c in of_depth if c.budget == budget and c.column == column)
            row += _cells(cell, found[budget][column])
        rows.append(row)
    run = cells[0].run
    caption = CAPTION
    if run.dataset != "cifar10" or cells[0].budget == "smoke":
        caption = STAND_IN.format(dataset=run.dataset, budget=cells[0].budget) + CAPTION
    return Table(caption, HEADER, rows)


def records_of(run: Run, workspace: Workspace) -> list[Record]:
    """The records of every seed of a run's identity."""
    return list(read_records(workspace.record(run).parent, warn=warnings.warn))


def _cells(cell: Cell, records: list[Record]) -> list[str]:
    reported = getattr(TABLE1[cell.depth], cell.column) if cell.depth in TABLE1 else None
    paper = "-" if reported is None else f"{reported:.2f}"
    if not records:
        return [paper, f"{NOT_RUN}: `{cell.command}`", "-"]
    errors = [100 * record.test_error["final"] for record in records]
    spread = f" ± {stdev(errors):.2f}" if len(errors) > 1 else ""
    difference = "-" if reported is None else f"{mean(errors) - reported:+.2f}"
    return [paper, f"{mean(errors):.2f}{spread} (n={len(errors)})", difference]
