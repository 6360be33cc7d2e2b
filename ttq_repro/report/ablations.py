"""Ablations of what the paper claims or leaves open: each row is one change to our TTQ."""

from __future__ import annotations

from ttq_repro.report.captions import by_seed, captioned, error_of, notes_on
from ttq_repro.report.compare import difference, of_one_lineage
from ttq_repro.report.seeds import (
    BySeed,
    CellRecords,
    basis,
    by_setting,
    records_of,
)
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.workspace import Workspace
from ttq_repro.table import NOTHING, Table

CAPTION = (
    "Ablations of TTQ on ResNet-20: test error in %, mean ± s.d. over n seeds, of the final "
    "epoch (never the best one). Each row differs from the baseline only in its override. A row "
    "marked `CPU and GPU` compares runs on both kinds of machine. All rows start from the "
    "baseline's full-precision parent of the same seed, except rows that change the network, "
    "which have a parent of their own. Differences are in points, against the baseline or the "
    "row's parent, over the same seeds and test images, with 95% intervals; a single seed has "
    "none."
)
HEADER = ["change", "override", "budget, precision", "error", "minus baseline", "minus its parent"]
BASELINE = "none"


def ablations(cells: list[Cell], workspace: Workspace) -> Table:
    """One row per change at the setting at which most have a record, then at other settings."""
    blocks = by_setting(cells, workspace, _is_baseline)
    shown = [of_one_lineage(block, workspace) for block in blocks]
    rows = [row for block in shown for row in _rows(block, workspace)]
    found = [one for block in shown for one in block]
    references = (by_seed(one, block) for block in shown for one in block if _is_baseline(one))
    return Table(captioned(CAPTION, cells[0]), HEADER, rows, notes_on(found, *references))


def _rows(block: list[CellRecords], workspace: Workspace) -> list[list[str]]:
    """The rows of one setting; nothing is compared across settings."""
    baseline = next((one.records for one in block if _is_baseline(one)), {})
    return [_row(one, baseline, workspace) for one in block]


def _row(one: CellRecords, baseline: BySeed, workspace: Workspace) -> list[str]:
    run = one.cell.run
    parents = records_of(run.parent, workspace) if run.parent else []
    parent = {record.seed: record for record in parents}
    against = {} if _is_baseline(one) else baseline
    return [
        one.title,
        " ".join(f"`{text}`" for text in one.cell.overrides) or NOTHING,
        basis(one, against, parent),
        error_of(one),
        difference(one.records, against),
        difference(one.records, parent),
    ]


def _is_baseline(one: CellRecords) -> bool:
    return one.cell.labels["change"] == BASELINE
