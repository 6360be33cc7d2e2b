"""All methods on one network from one parent, beside the control that trained on in float."""

from __future__ import annotations

from pathlib import Path

from ttq_repro.report.captions import NOT_RUN, captioned, how_to_run
from ttq_repro.report.families import of_one_family
from ttq_repro.report.seeds import BySeed, at_one_setting, error_over_seeds, paired_difference
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.workspace import Workspace
from ttq_repro.table import Table

CAPTION = (
    "Methods compared on ResNet-20: test error in %, mean ± s.d. over n seeds, of the final epoch "
    "(never the best one). Every row but the first starts from the first row's network of the same "
    "seed and trains for the same extra epochs; the control does so in full precision. Differences "
    "are in points, minus the parent or the control of the same seed, ± the standard error on the "
    "paired test images, which knows nothing of the scatter between seeds. Bits a weight: width of "
    "a code in the quantized layers; the first convolution stays float."
)
HEADER = ["method", "budget, precision", "bits a weight", "error", "minus parent", "minus control"]
PARENT, CONTROL = "full_precision", "control"


def render(cells: list[Cell], workspace: Workspace, home: Path) -> str:
    """Draw the table from the records of ``workspace``, write it below ``home``, return it."""
    return comparison(cells, workspace).publish(home, "comparison")


def comparison(cells: list[Cell], workspace: Workspace) -> Table:
    """One row a method, all at the setting of ``cells`` at which most methods have a record."""
    found = of_one_family(at_one_setting(cells, workspace))
    by_method = {cell.labels["method"]: records for cell, records in found}
    rows = [_row(cell, records, by_method) for cell, records in found]
    missing = [cell for cell, records in found if not records]
    return Table(captioned(CAPTION, cells[0]), HEADER, rows, how_to_run(missing))


def difference(ours: BySeed, theirs: BySeed) -> str:
    """The paired difference ± its standard error on the test images."""
    estimate = paired_difference(ours, theirs)
    return "-" if estimate is None else f"{estimate.value:+.2f} ± {estimate.image_error:.2f}"


def _row(cell: Cell, records: BySeed, by_method: dict[str, BySeed]) -> list[str]:
    method = cell.labels["method"]
    row = [cell.labels["title"], cell.setting, str(cell.labels["bits"])]
    error = error_over_seeds(list(records.values()))
    if error is None:
        return [*row, NOT_RUN, "-", "-"]
    against_parent = "-" if method == PARENT else difference(records, by_method.get(PARENT, {}))
    against_control = (
        "-" if method in (PARENT, CONTROL) else difference(records, by_method.get(CONTROL, {}))
    )
    return [*row, str(error), against_parent, against_control]
