"""What the paper leaves open or claims: one change a row, against TTQ as we run it."""

from __future__ import annotations

from pathlib import Path

from ttq_repro.report.captions import captioned, error_of, how_to_run
from ttq_repro.report.families import of_one_family
from ttq_repro.report.seeds import (
    BySeed,
    Found,
    at_one_setting,
    basis,
    difference,
    records_of,
)
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.workspace import Workspace
from ttq_repro.table import Table

CAPTION = (
    "Ablations of TTQ on ResNet-20: test error in %, mean ± s.d. over n seeds, of the final epoch "
    "(never the best one). Each row differs from the first in its override alone and starts from "
    "the same full-precision network of the same seed; another network has a parent of its own. "
    "Differences are in points, minus the baseline or the row's own parent of the same seeds on "
    "the same test images, with their 95% interval, which one seed does not have."
)
HEADER = ["change", "override", "budget, precision", "error", "minus baseline", "minus its parent"]
BASELINE = "none"


def render(cells: list[Cell], workspace: Workspace, home: Path) -> str:
    """Draw the table from the records of ``workspace``, write it below ``home``, return it."""
    return ablations(cells, workspace).publish(home, "ablations")


def ablations(cells: list[Cell], workspace: Workspace) -> Table:
    """One row a change, all at the setting of ``cells`` at which most have a record."""
    found = of_one_family(at_one_setting(cells, workspace), workspace)
    baseline = next((one.records for one in found if _is_baseline(one)), {})
    rows = [_row(one, baseline, workspace) for one in found]
    return Table(captioned(CAPTION, cells[0]), HEADER, rows, how_to_run(found))


def _row(one: Found, baseline: BySeed, workspace: Workspace) -> list[str]:
    run = one.cell.run
    parents = records_of(run.parent, workspace) if run.parent else []
    parent = {record.seed: record for record in parents}
    against = {} if _is_baseline(one) else baseline
    return [
        one.title,
        " ".join(f"`{text}`" for text in one.cell.overrides) or "-",
        basis(one, against, parent),
        error_of(one),
        difference(one.records, against),
        difference(one.records, parent),
    ]


def _is_baseline(one: Found) -> bool:
    return one.cell.labels["change"] == BASELINE
