"""All methods on one network from one parent, beside the control that trained on in float."""

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
)
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.workspace import Workspace
from ttq_repro.table import Table

CAPTION = (
    "Methods compared on ResNet-20: test error in %, mean ± s.d. over n seeds, of the final epoch "
    "(never the best one). Every row but the first starts from the first row's network of the same "
    "seed and trains for the same extra epochs; the control does so in full precision. Differences "
    "are in points, minus the parent or the control of the same seeds on the same test images, "
    "with their 95% interval, which one seed does not have. Bits a weight: width of a code in the "
    "quantized layers; the first convolution stays float."
)
HEADER = ["method", "budget, precision", "bits a weight", "error", "minus parent", "minus control"]
PARENT, CONTROL = "full_precision", "control"


def render(cells: list[Cell], workspace: Workspace, home: Path) -> str:
    """Draw the table from the records of ``workspace``, write it below ``home``, return it."""
    return comparison(cells, workspace).publish(home, "comparison")


def comparison(cells: list[Cell], workspace: Workspace) -> Table:
    """One row a method, all at the setting of ``cells`` at which most methods have a record."""
    found = of_one_family(at_one_setting(cells, workspace), workspace)
    by_method = {one.cell.labels["method"]: one.records for one in found}
    rows = [_row(one, by_method) for one in found]
    return Table(captioned(CAPTION, cells[0]), HEADER, rows, how_to_run(found))


def _row(one: Found, by_method: dict[str, BySeed]) -> list[str]:
    method = one.cell.labels["method"]
    parent = {} if method == PARENT else by_method.get(PARENT, {})
    control = {} if method in (PARENT, CONTROL) else by_method.get(CONTROL, {})
    return [
        one.title,
        basis(one, parent, control),
        str(one.cell.labels["bits"]),
        error_of(one),
        difference(one.records, parent),
        difference(one.records, control),
    ]
