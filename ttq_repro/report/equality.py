"""Whether the fast path ends where float32 ends."""

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

PLAIN = "fp32, plain"
#: What a row compares with: what follows the budget in :attr:`Cell.setting`, and its name here.
REFERENCES = {"fp32": "the same execution", PLAIN: "plain"}
#: How far apart the two may be, in points.
MARGIN = 0.5
#: In place of a verdict where no seed was trained in both ways on one kind of machine.
NO_PAIR = "no pair"
#: What the verdicts on a claim mean here.
WORDS = {Verdict.REPRODUCED: "agree", Verdict.NOT_REPRODUCED: "differ"}
CAPTION = (
    "Mixed bfloat16, compiled or replayed as a graph as the project does by itself, against "
    "float32, ResNet-20 on CIFAR-10: test error in %, mean ± s.d. over n seeds, of the final epoch "
    "(never the best one). The difference, in points, is that of the same seeds on the same kind "
    "of machine, CPU or GPU, and the same test images, over n such pairs with its 95% interval; "
    f"the two agree where all of that lies within ±{MARGIN}. The same execution: compiled or "
    "replayed in both or in neither, so that what differs is the precision alone. Plain: PyTorch "
    "kernel by kernel, neither compiled nor replayed."
)
HEADER = ["method", "budget", "float32", "its error", "bf16", "bf16 minus float32", "verdict"]


def render(cells: list[Cell], workspace: Workspace, home: Path) -> str:
    """Draw the table from the records of ``workspace``, write it below ``home``, return it."""
    return equality(cells, workspace).publish(home, "equality")


def equality(cells: list[Cell], workspace: Workspace) -> Table:
    """Two rows a method and budget, of runs by one process."""
    alone = [found_of(cell, workspace) for cell in cells if cell.run.processes == 1]
    found = of_one_family(alone, workspace)
    by_path: dict[tuple[str, str], dict[str, Found]] = {}
    for one in found:
        paths = by_path.setdefault((one.title, one.cell.budget), {})
        paths[one.cell.setting.partition(", ")[2]] = one
    return Table(
        captioned(CAPTION, cells[0]),
        HEADER,
        [_row(*place, one, paths) for place, paths in by_path.items() for one in REFERENCES],
        how_to_run(found),
    )


def _row(title: str, budget: str, reference: str, paths: dict[str, Found]) -> list[str]:
    # A trial is of one precision.
    fp32, bf16 = (paths[path].records if path in paths else {} for path in (reference, "bf16"))
    rests_on = with_machines(budget, (r.machine for one in (fp32, bf16) for r in one.values()))
    errors = [error_of(paths[path]) if path in paths else NOT_RUN for path in (reference, "bf16")]
    row = [title, rests_on, REFERENCES[reference], *errors]
    pairs = {s: r for s, r in bf16.items() if s in fp32 and _are_a_pair(r, fp32[s], reference)}
    difference = paired_difference(pairs, fp32)
    if difference is None:
        return [*row, "-", NO_PAIR if fp32 and bf16 else NOT_RUN]
    found_out = verdict(difference, (-MARGIN, MARGIN))
    return [*row, difference.signed(), WORDS.get(found_out, found_out)]


def _are_a_pair(bf16: Record, fp32: Record, reference: str) -> bool:
    if bf16.machine != fp32.machine:
        return False
    executions = (tuple(map(r.provenance.get, ("compiled", "graphed"))) for r in (bf16, fp32))
    return reference == PLAIN or len(set(executions)) == 1
