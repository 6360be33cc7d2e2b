"""Whether the fast path reaches the same error as float32."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ttq_repro.paper.rules import within
from ttq_repro.report.captions import LEFT_OUT, captioned, error_of, notes_on
from ttq_repro.report.compare import of_one_lineage, same_images
from ttq_repro.report.intervals import difference_of_groups
from ttq_repro.report.ledger import Verdict, verdict
from ttq_repro.report.seeds import CellRecords, found_of, machines
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.record import Record
from ttq_repro.runs.workspace import Workspace
from ttq_repro.table import NOTHING, Table

#: Precision, and whether training is plain.
Way = tuple[str, bool]
BF16: Way = ("bf16", False)
PLAIN: Way = ("fp32", True)
#: What bf16 is compared with, and how the table describes its execution.
REFERENCES: dict[Way, str] = {("fp32", False): "same as bf16", PLAIN: "plain"}
#: How far apart the errors may be, in points.
MARGIN = 0.5
#: Shown instead of a verdict if no float32 run was compiled or replayed as a bf16 run was.
OTHER_EXECUTION = "different execution"
#: Names of the verdicts here, where they are not about claims.
WORDS = {Verdict.REPRODUCED: "agree", Verdict.NOT_REPRODUCED: "differ"}
CAPTION = (
    "Training in mixed bfloat16 as the project does it by default, compiled or replayed as a "
    "CUDA graph, against float32: ResNet-20 on CIFAR-10, test error in %, mean ± s.d. over n "
    "seeds, of the final epoch (never the best one), on one kind of machine. The difference of "
    "the means, in points, has Welch's 95% interval; seeds that lie close together by chance count "
    "as far apart as images that vary independently would make them. Seeds are not paired: two "
    "runs of one seed share their initialization and order of images, but their results are no "
    "more alike than those of two different seeds. Intervals are those of a number of seeds fixed "
    "in advance (docs/reproducing.md tells where ours was not). The two precisions agree if the "
    f"whole interval lies within ±{MARGIN}, even if it excludes 0, in which case they are not "
    "equal. Same as bf16: float32 was compiled or replayed just as bf16 was; only the precision "
    "differs. Plain: float32 ran kernel by kernel, neither compiled nor replayed. Below the table, "
    "by the same rule: CPUs against GPUs, whose runs are pooled in other tables."
)
HEADER = [
    "method",
    "budget",
    "machine",
    "execution of float32",
    "float32",
    "bf16",
    "bf16 minus float32",
    "verdict",
]


def equality(cells: list[Cell], workspace: Workspace) -> Table:
    """One row per method, budget, kind of machine and reference, if there are runs on both paths.

    Only runs by a single process count.
    """
    alone = [found_of(cell, workspace) for cell in cells if cell.run.processes == 1]
    found = of_one_lineage(alone, workspace)
    by_method: dict[tuple[str, str], dict[Way, CellRecords]] = {}
    for one in found:
        trainer = one.cell.run.config["trainer"]
        ways = by_method.setdefault((one.title, one.cell.budget), {})
        ways[trainer["precision"], trainer["plain"]] = one
    rows: list[list[str]] = []
    between: list[str] = []
    to_note: list[CellRecords] = []
    for method, ways in by_method.items():
        own_rows = [
            [*method, machine, REFERENCES[reference], *_compared(reference, *both)]
            for machine in _machines(ways.values())
            for reference in REFERENCES
            if (both := _both(reference, machine, ways))
        ]
        own_lines = [line for line in map(_between_machines, ways.values()) if line]
        rows += own_rows
        between += own_lines
        # Runs that have nothing to be compared with are not shown, nor are their caveats.
        shown = bool(own_rows or own_lines)
        to_note += [one for one in ways.values() if shown or not one.records]
    return Table(captioned(CAPTION, cells[0]), HEADER, rows, notes_on(to_note, *between))


def _machines(found: Iterable[CellRecords]) -> list[str]:
    """The kinds of machine of the records."""
    return machines(record.machines for one in found for record in one.records.values())


def _both(
    reference: Way, machine: str, ways: dict[Way, CellRecords]
) -> tuple[CellRecords, CellRecords] | None:
    """The runs of float32 and of bf16 on one kind of machine, None if one of them has none."""
    if reference not in ways or BF16 not in ways:
        return None
    fp32, bf16 = (_trained_on(machine, ways[way]) for way in (reference, BF16))
    return (fp32, bf16) if fp32.records and bf16.records else None


def _compared(reference: Way, fp32: CellRecords, bf16: CellRecords) -> list[str]:
    """The two errors, their difference, and the verdict."""
    if reference != PLAIN:
        both = _executions(fp32) & _executions(bf16)
        if not both:
            return [error_of(fp32), error_of(bf16), NOTHING, OTHER_EXECUTION]
        fp32, bf16 = (one.only(lambda record: _execution(record) in both) for one in (fp32, bf16))
    errors = [error_of(fp32), error_of(bf16)]
    if not _alike(fp32, bf16):
        return [*errors, NOTHING, LEFT_OUT]
    return [*errors, *_judged(bf16, fp32)]


def _between_machines(one: CellRecords) -> str:
    """A line on how CPUs and GPUs differ in one cell; empty without comparable runs on both."""
    cpu, gpu = (_trained_on(machine, one) for machine in ("CPU", "GPU"))
    if not (cpu.records and gpu.records) or not _alike(cpu, gpu):
        return ""
    difference, outcome = _judged(cpu, gpu)
    name = f"{one.title}, {one.cell.setting}"
    errors = f"{error_of(cpu)} on CPUs, {error_of(gpu)} on GPUs"
    return f"{name}: {errors}, difference {difference}: {outcome}"


def _alike(*found: CellRecords) -> bool:
    records = [record for one in found for record in one.records.values()]
    return same_images({record.key: record.test_images for record in records})


def _judged(ours: CellRecords, theirs: CellRecords) -> tuple[str, str]:
    """The difference of the mean errors, and the verdict on it."""
    difference = difference_of_groups(_wrong(ours), _wrong(theirs))
    found_out = verdict(difference, within(MARGIN, of=0))
    outcome = str(WORDS.get(found_out, found_out))
    excludes_zero = verdict(difference, within(0, of=0)) is Verdict.NOT_REPRODUCED
    if excludes_zero and found_out is not Verdict.NOT_REPRODUCED:
        outcome += ", but not equal"
    return difference.signed(), outcome


def _trained_on(machine: str, one: CellRecords) -> CellRecords:
    return one.only(lambda record: record.machines == {machine})


def _executions(one: CellRecords) -> set[tuple[bool, bool]]:
    return {_execution(record) for record in one.records.values()}


def _execution(record: Record) -> tuple[bool, bool]:
    return record.provenance["compiled"], record.provenance["graphed"]


def _wrong(one: CellRecords) -> NDArray[np.float64]:
    """100 for each wrong answer, 0 for each right one, of shape (seeds, images)."""
    wrong = np.stack([~record.correct_images() for record in one.records.values()])
    return 100 * wrong.astype(np.float64)
