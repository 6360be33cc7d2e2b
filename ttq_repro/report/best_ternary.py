"""Our own target: a ternary network that beats full precision, chosen on held-out images."""

from __future__ import annotations

from ttq_repro.report.captions import captioned, error_of, notes_on, scatter_of_images
from ttq_repro.report.compare import difference, of_one_lineage
from ttq_repro.report.seeds import (
    CellRecords,
    at_one_setting,
    error_over_seeds,
    shared_seeds,
    with_machines,
)
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.workspace import Workspace
from ttq_repro.table import NOTHING, Table

CAPTION = (
    "The best ternary ResNet-20: error in %, mean ± s.d. over n seeds, of the final epoch "
    "(never the best one). Methods are compared by their error on 5,000 training images that "
    "were held out from their training and from that of their parent, over the seeds that all "
    "have. The method with the lowest is to be trained on all training images and tested. Its "
    "difference from full precision, in points, is taken over the same seeds and test images, with "
    "its 95% interval; a single seed has none. Distilled: also learns from the outputs of its "
    "full-precision parent. Control: full precision trained further just as the chosen method "
    "is, which has nothing to do with the choice."
)
HEADER = [
    "method", "budget, precision", "held-out error",
    "test error", "minus full precision", "minus control",
]  # fmt: skip
#: What the others are compared with; the control with full precision, too.
REFERENCES = ("full_precision", "control")


def best_ternary(cells: list[Cell], workspace: Workspace) -> Table:
    """One row per method, all at the setting at which most of ``cells`` have a record.

    The chosen method is the ternary one that the artifact tests.
    """
    found = of_one_lineage(at_one_setting(cells, workspace), workspace)
    held_out, tested = (
        {_method(one): one for one in found if one.cell.labels["stage"] == stage}
        for stage in ("selection", "test")
    )
    candidates = {name: one for name, one in held_out.items() if name not in REFERENCES}
    errors = _errors(candidates)
    chosen = next((method for method in tested if method not in REFERENCES), None)
    is_complete = len(errors) == len(candidates)
    best = min(errors, key=errors.__getitem__, default=None)
    marks = {chosen: " (chosen)" if is_complete else " (chosen so far)"} if chosen == best else {}
    # What to run leaves out the test of a method that may not be the one to test.
    untimely = None if is_complete and chosen == best else tested.get(chosen or "")
    to_note = [one for one in found if one is not untimely or one.records or one.left_out]
    rows = [
        _row(method, marks.get(method, ""), held_out.get(method), tested)
        for method in dict.fromkeys([*held_out, *tested])
    ]
    note = notes_on(to_note, _choice(best, errors, candidates, chosen, tested))
    caption = CAPTION + scatter_of_images([*held_out.values()])
    return Table(captioned(caption, cells[0]), HEADER, rows, note)


def _row(
    method: str, mark: str, held_out: CellRecords | None, tested: dict[str, CellRecords]
) -> list[str]:
    cells = [one for one in (held_out, tested.get(method)) if one]
    ours = tested[method].records if method in tested else {}
    others = REFERENCES[: REFERENCES.index(method)] if method in REFERENCES else REFERENCES
    # A request for only some methods may lack these.
    compared = {name: tested[name].records for name in others if name in tested}
    shown = [record for one in cells for record in one.records.values()]
    shown += [records[seed] for records in compared.values() for seed in ours if seed in records]
    return [
        cells[0].title + mark,
        with_machines(cells[0].cell.setting, (record.machines for record in shown)),
        error_of(held_out) if held_out else NOTHING,
        error_of(tested[method]) if method in tested else NOTHING,
        *(difference(ours, compared.get(name, {})) for name in REFERENCES),
    ]


def _errors(candidates: dict[str, CellRecords]) -> dict[str, float]:
    """The held-out error of each candidate that was run, over the seeds that all of them have."""
    common = shared_seeds(candidates.values())
    return {
        method: error.mean
        for method, one in candidates.items()
        if (error := error_over_seeds(one.only(lambda r: r.seed in common).records.values()))
    }


def _choice(
    best: str | None,
    errors: dict[str, float],
    candidates: dict[str, CellRecords],
    chosen: str | None,
    tested: dict[str, CellRecords],
) -> str:
    """A note if the method to be tested has no held-out error, or another one does better."""
    if chosen is None:
        return ""
    is_tested = f"`{chosen}` {'is' if tested[chosen].records else 'is to be'} tested, but"
    if not errors and any(one.records for one in candidates.values()):
        return "the candidates that ran have no seed in common, so that none is chosen"
    if chosen not in errors:
        return f"{is_tested} has not been chosen by its held-out error yet"
    if best == chosen:
        return ""
    return f"{is_tested} does not have the lowest held-out error; `{best}` has"


def _method(one: CellRecords) -> str:
    return one.cell.labels["method"]
