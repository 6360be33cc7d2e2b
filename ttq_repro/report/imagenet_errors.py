"""The common part of Tables 2 and 3: top-1 and top-5 errors on ImageNet by method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from ttq_repro.paper.reported import TopErrors
from ttq_repro.report.captions import (
    NOT_RUN,
    PAPERS_DATASETS,
    captioned,
    notes_on,
    scatter_of_images,
)
from ttq_repro.report.seeds import CellRecords, at_one_setting, basis, error_over_seeds
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.workspace import Workspace
from ttq_repro.table import NOTHING, Table

WHAT = (
    "error on the validation images in %, one center crop each, mean ± s.d. over n seeds, of the "
    "final epoch (never the best one)."
)


def errors_table(
    caption: str, reported: Mapping[str, TopErrors], cells: list[Cell], workspace: Workspace
) -> Table:
    """One row per method, all at the setting at which most of ``cells`` have a record.

    On ILSVRC12 the columns include top-5 errors and differences, ours minus the paper's. On a
    stand-in the paper's top-1 errors only show the order of the methods; nothing is subtracted.
    """
    found = at_one_setting(cells, workspace)
    dataset = cells[0].run.dataset
    header = ["method", "budget, precision"]
    if dataset in PAPERS_DATASETS:
        header += ["top-1, paper", "top-1, ours", "difference"]
        header += ["top-5, paper", "top-5, ours", "difference"]
    else:
        header += ["top-1, paper (ILSVRC12)", f"top-1, ours ({dataset})"]
        caption += scatter_of_images(found)
    rows = [_row(one, reported) for one in found]
    return Table(captioned(caption, cells[0]), header, rows, notes_on(found))


def _row(one: CellRecords, reported: Mapping[str, TopErrors]) -> list[str]:
    theirs = reported.get(one.cell.labels["method"])
    top1 = _errors(one, theirs and theirs.top1, 1)
    row = [one.title, basis(one)]
    if one.cell.run.dataset not in PAPERS_DATASETS:
        return [*row, *top1[:2]]
    return [*row, *top1, *_errors(one, theirs and theirs.top5, 5)]


def _errors(one: CellRecords, theirs: float | None, top: Literal[1, 5]) -> list[str]:
    """The paper's error, ours, and the difference."""
    ours = error_over_seeds(one.records.values(), top)
    return [
        f"{theirs:.1f}" if theirs else NOTHING,
        str(ours or NOT_RUN),
        f"{ours.mean - theirs:+.2f}" if ours and theirs else NOTHING,
    ]
