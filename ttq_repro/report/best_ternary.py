"""Our own target: a ternary network that beats full precision, chosen on held-out images."""

from __future__ import annotations

from ttq_repro.report.captions import captioned, error_of, notes_on
from ttq_repro.report.compare import difference, of_one_lineage
from ttq_repro.report.seeds import (
    CellRecords,
    at_one_setting,
    basis,
    error_over_seeds,
    with_machines,
)
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.workspace import Workspace
from ttq_repro.table import NOTHING, Table

CAPTION = (
    "The best ternary ResNet-20: error in %, mean ± s.d. over n seeds, of the final epoch "
    "(never the best one). Methods are compared by their error on 5,000 training images that "
    "were held out from their training and from that of their parent. The chosen method is then "
    "trained on all training images and tested. Its difference from full precision, in points, "
    "is taken over the same seeds and test images, with its 95% interval; a single seed has "
    "none. Distilled: also learns from the outputs of its full-precision parent."
)
HEADER = ["method", "budget, precision", "held-out error", "test error", "minus full precision"]
FULL_PRECISION = "full_precision"


def best_ternary(cells: list[Cell], workspace: Workspace, chosen: str) -> Table:
    """One row per method, all at the setting at which most of ``cells`` have a record."""
    found = of_one_lineage(at_one_setting(cells, workspace), workspace)
    held_out, tested = (
        {_method(one): one for one in found if one.cell.labels["stage"] == stage}
        for stage in ("selection", "test")
    )
    errors = _errors(held_out)
    mark = chosen if chosen in errors else None
    rows = [_row(one, tested, mark) for one in held_out.values()]
    note = notes_on(found, _choice(errors, chosen))
    return Table(captioned(CAPTION, cells[0]), HEADER, rows, note)


def _row(one: CellRecords, tested: dict[str, CellRecords], chosen: str | None) -> list[str]:
    method = _method(one)
    mark = " (chosen)" if method == chosen else ""
    name = f"{one.title}{mark}"
    if method not in tested:
        return [name, basis(one), error_of(one), NOTHING, NOTHING]
    ours, full_precision = tested[method].records, {}
    # A request for only some methods may lack full precision.
    if method != FULL_PRECISION and FULL_PRECISION in tested:
        full_precision = tested[FULL_PRECISION].records
    compared = [full_precision[seed] for seed in ours if seed in full_precision]
    shown = (*one.records.values(), *ours.values(), *compared)
    rests_on = with_machines(one.cell.setting, (record.machine for record in shown))
    return [
        name, rests_on, error_of(one), error_of(tested[method]), difference(ours, full_precision)
    ]  # fmt: skip


def _errors(held_out: dict[str, CellRecords]) -> dict[str, float]:
    """The held-out error of each ternary method that was run."""
    return {
        method: error.mean
        for method, one in held_out.items()
        if method != FULL_PRECISION and (error := error_over_seeds(one.records.values()))
    }


def _choice(errors: dict[str, float], chosen: str) -> str:
    """A note if the chosen method has no held-out error, or another one does better."""
    if chosen not in errors:
        return (
            "no method has been chosen by its held-out error yet; "
            f"`artifact.options.chosen={chosen}` is only the initial value"
        )
    best = min(errors, key=errors.__getitem__)
    if best == chosen:
        return ""
    return (
        f"`artifact.options.chosen={chosen}` does not have the lowest held-out error; `{best}` has"
    )


def _method(one: CellRecords) -> str:
    return one.cell.labels["method"]
