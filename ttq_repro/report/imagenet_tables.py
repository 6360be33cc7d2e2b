"""Tables 2 and 3: top-1 and top-5 errors of AlexNet-BN and ResNet-18B on ImageNet, by method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from ttq_repro.paper.reported import TABLE2, TABLE3, TopErrors
from ttq_repro.report.captions import (
    NOT_RUN,
    captioned,
    notes_on,
    scatter_of_images,
)
from ttq_repro.report.seeds import CellRecords, at_one_setting, basis, error_over_seeds
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.run import PAPERS_DATASETS
from ttq_repro.runs.workspace import Workspace
from ttq_repro.table import NOTHING, Table

WHAT = (
    "error on the validation images in %, one center crop each, mean ± s.d. over n seeds, of the "
    "final epoch (never the best one)."
)
TABLE2_CAPTION = (
    f"Table 2: AlexNet with batch norm, {WHAT} All networks start from random weights; the first "
    "convolution and the last layer stay float. The paper quotes full precision at 42.8 here and, "
    "from DoReFa-Net, at 44.1 in its text."
)
TABLE3_CAPTION = (
    f"Table 3: ResNet-18 with shortcuts of type B, {WHAT} TWN starts from full precision, the "
    "others from random weights; TTQ trains by Adam, the others by SGD. The first convolution "
    "and the last layer stay float, except in BWN, which quantizes all layers. The rows that "
    "the paper cites mix networks: its TWN is 1.5 times as wide."
)


def table2(cells: list[Cell], workspace: Workspace) -> Table:
    """AlexNet-BN, see :func:`_errors_table`."""
    return _errors_table(TABLE2_CAPTION, TABLE2, cells, workspace)


def table3(cells: list[Cell], workspace: Workspace) -> Table:
    """ResNet-18B, see :func:`_errors_table`."""
    return _errors_table(TABLE3_CAPTION, TABLE3, cells, workspace)


def _errors_table(
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
