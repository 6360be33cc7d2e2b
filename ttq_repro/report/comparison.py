"""All methods on one network from one parent, and the control trained further in float."""

from __future__ import annotations

from ttq_repro.report.captions import (
    BOTH_KINDS,
    by_seed,
    captioned,
    error_of,
    notes_on,
    trailing_of,
)
from ttq_repro.report.compare import difference, of_one_lineage
from ttq_repro.report.seeds import (
    BySeed,
    CellRecords,
    basis,
    by_setting,
)
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.workspace import Workspace
from ttq_repro.table import Table

CAPTION = (
    "Methods compared on ResNet-20: test error in %, mean ± s.d. over n seeds, of the final "
    "epoch (never the best one). Every row but the first starts from the first row's network of"
    " the same seed and trains for the same number of further epochs; the control does so in "
    "full precision. At the `paper` budget, TTQ's first two epochs use a learning rate of 2e-4. "
    "Trailing: the mean over the last eighth of the epochs; the paper reports a moving average. "
    "Differences are those of the final epoch, in points, against the parent or the control, "
    "over the same seeds and test images, with 95% intervals; a single seed has none. Bits per "
    "weight: the width of a code in the quantized layers; the first convolution stays float. "
    f"{BOTH_KINDS}"
)
HEADER = [
    "method", "budget, precision", "bits per weight",
    "error", "trailing", "minus parent", "minus control",
]  # fmt: skip
PARENT, CONTROL = REFERENCES = "full_precision", "control"


def comparison(cells: list[Cell], workspace: Workspace) -> Table:
    """One row per method at the setting at which most have a record, then at other settings."""
    blocks = by_setting(cells, workspace, _is_reference)
    shown = [of_one_lineage(block, workspace) for block in blocks]
    rows = [row for block in shown for row in _rows(block)]
    found = [one for block in shown for one in block]
    references = (by_seed(one, block) for block in shown for one in block if _is_reference(one))
    return Table(captioned(CAPTION, cells[0]), HEADER, rows, notes_on(found, *references))


def _is_reference(one: CellRecords) -> bool:
    return one.cell.labels["method"] in REFERENCES


def _rows(block: list[CellRecords]) -> list[list[str]]:
    """The rows of one setting; nothing is compared across settings."""
    by_method = {one.cell.labels["method"]: one.records for one in block}
    return [_row(one, by_method) for one in block]


def _row(one: CellRecords, by_method: dict[str, BySeed]) -> list[str]:
    method = one.cell.labels["method"]
    parent = {} if method == PARENT else by_method.get(PARENT, {})
    control = {} if method in (PARENT, CONTROL) else by_method.get(CONTROL, {})
    return [
        one.title,
        basis(one, parent, control),
        str(one.cell.labels["bits"]),
        error_of(one),
        trailing_of(one),
        difference(one.records, parent),
        difference(one.records, control),
    ]
