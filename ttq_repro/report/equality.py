"""Whether mixed bfloat16 ends where float32 ends."""

from __future__ import annotations

from pathlib import Path

from ttq_repro.report.captions import NOT_RUN, captioned, error_of, how_to_run
from ttq_repro.report.families import of_one_family
from ttq_repro.report.ledger import Verdict, verdict
from ttq_repro.report.seeds import (
    Found,
    found_of,
    paired_difference,
    with_machines,
)
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.record import Record
from ttq_repro.runs.workspace import Workspace
from ttq_repro.table import Table

PRECISIONS = ("fp32", "bf16")
#: How far apart the two may be, in points.
MARGIN = 0.5
#: In place of a verdict where no seed was trained in both precisions on one kind of machine.
NO_PAIR = "no pair"
#: What the verdicts on a claim mean here.
WORDS = {Verdict.REPRODUCED: "agree", Verdict.NOT_REPRODUCED: "differ"}
CAPTION = (
    "Mixed bfloat16 against float32, ResNet-20 on CIFAR-10: test error in %, mean ± s.d. over n "
    "seeds, of the final epoch (never the best one). The difference, in points, is that of the "
    "same seeds on the same kind of machine, CPU or GPU, compiled or replayed as a graph in both "
    "or in neither, and the same test images, over n such pairs with its 95% interval; the two "
    f"agree where all of that lies within ±{MARGIN}."
)
HEADER = ["method", "budget", *PRECISIONS, "bf16 minus fp32", "verdict"]


def render(cells: list[Cell], workspace: Workspace, home: Path) -> str:
    """Draw the table from the records of ``workspace``, write it below ``home``, return it."""
    return equality(cells, workspace).publish(home, "equality")


def equality(cells: list[Cell], workspace: Workspace) -> Table:
    """One row a method and budget, of runs by one process."""
    alone = [found_of(cell, workspace) for cell in cells if cell.run.processes == 1]
    found = of_one_family(alone, workspace)
    rows: dict[tuple[str, str], dict[str, Found]] = {}
    for one in found:
        row = rows.setdefault((one.title, one.cell.budget), {})
        row[one.cell.run.config["trainer"]["precision"]] = one
    return Table(
        captioned(CAPTION, cells[0]),
        HEADER,
        [_row(*place, row) for place, row in rows.items()],
        how_to_run(found),
    )


def _path(record: Record) -> tuple[object, ...]:
    """By what a run was computed."""
    made = record.provenance
    return record.machine, made.get("compiled"), made.get("graphed")


def _row(title: str, budget: str, found: dict[str, Found]) -> list[str]:
    # A trial is of one precision.
    fp32, bf16 = (found[p].records if p in found else {} for p in PRECISIONS)
    rests_on = with_machines(budget, (r.machine for one in (fp32, bf16) for r in one.values()))
    row = [title, rests_on, *(error_of(found[p]) if p in found else NOT_RUN for p in PRECISIONS)]
    # What computes otherwise does so in either precision.
    alike = {s: r for s, r in bf16.items() if s in fp32 and _path(r) == _path(fp32[s])}
    difference = paired_difference(alike, fp32)
    if difference is None:
        return [*row, "-", NO_PAIR if fp32 and bf16 else NOT_RUN]
    found_out = verdict(difference, (-MARGIN, MARGIN))
    return [*row, difference.signed(), WORDS.get(found_out, found_out)]
