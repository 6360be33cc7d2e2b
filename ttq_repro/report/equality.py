"""Whether mixed bfloat16 ends where float32 ends."""

from __future__ import annotations

from pathlib import Path

from ttq_repro.report.captions import NOT_RUN, captioned, how_to_run
from ttq_repro.report.ledger import Verdict, verdict
from ttq_repro.report.seeds import BySeed, error_over_seeds, paired_difference, records_of
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.workspace import Workspace
from ttq_repro.table import Table

#: How far apart the two may be, in points.
MARGIN = 0.5
#: What the verdicts on a claim mean here.
WORDS = {Verdict.REPRODUCED: "agree", Verdict.NOT_REPRODUCED: "differ"}
CAPTION = (
    "Mixed bfloat16 against float32, ResNet-20 on CIFAR-10: test error in %, mean ± s.d. over n "
    "seeds, of the final epoch (never the best one). The difference, in points, is that of the "
    "same seeds and the same test images, with its 95% interval; the two agree where all of that "
    f"lies within ±{MARGIN}."
)
HEADER = ["method", "budget", "fp32", "bf16", "bf16 minus fp32", "verdict"]


def render(cells: list[Cell], workspace: Workspace, home: Path) -> str:
    """Draw the table from the records of ``workspace``, write it below ``home``, return it."""
    return equality(cells, workspace).publish(home, "equality")


def equality(cells: list[Cell], workspace: Workspace) -> Table:
    """One row a method and budget, of runs by one process."""
    rows: dict[tuple[str, str], dict[str, BySeed]] = {}
    missing = []
    for cell in cells:
        if cell.run.processes > 1:
            continue
        records = {record.seed: record for record in records_of(cell.run, workspace)}
        row = rows.setdefault((cell.labels["title"], cell.budget), {})
        row[cell.run.config["trainer"]["precision"]] = records
        if not records:
            missing.append(cell)
    return Table(
        captioned(CAPTION, cells[0]),
        HEADER,
        [_row(*place, found) for place, found in rows.items()],
        how_to_run(missing),
    )


def _row(title: str, budget: str, found: dict[str, BySeed]) -> list[str]:
    fp32, bf16 = found.get("fp32", {}), found.get("bf16", {})
    row = [title, budget, *(str(error_over_seeds(one.values()) or NOT_RUN) for one in (fp32, bf16))]
    difference = paired_difference(bf16, fp32)
    if difference is None:
        return [*row, "-", NOT_RUN]
    found_out = verdict(difference, (-MARGIN, MARGIN))
    return [*row, difference.signed(), WORDS.get(found_out, found_out)]
