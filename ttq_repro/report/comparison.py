"""All methods on one network from one parent, beside the control that trained on in float."""

from __future__ import annotations

from pathlib import Path
from statistics import mean

import numpy as np

from ttq_repro.report.seeds import error_over_seeds, records_of
from ttq_repro.report.table import Table
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.record import Record
from ttq_repro.runs.workspace import Workspace

CAPTION = (
    "Methods compared on ResNet-20: test error in %, mean ± s.d. over n seeds, of the final epoch "
    "(never the best one). Every row but the first starts from the first row's network of the same "
    "seed and trains for the same extra epochs; the control does so in full precision. Differences "
    "are in points, minus the parent or the control of the same seed, ± the standard error on the "
    "paired test images, which knows nothing of the scatter between seeds. Bits a weight: width of "
    "a code in the quantized layers; the first convolution stays float."
)
STAND_IN = "**Not a result:** {dataset}, {budget} budget, a check that everything works. "
HEADER = ["method", "budget, precision", "bits a weight", "error", "minus parent", "minus control"]
PARENT, CONTROL = "full_precision", "control"
NOT_RUN = "not run"

#: The records of one method by seed.
BySeed = dict[int, Record]


def render(cells: list[Cell], workspace: Workspace, home: Path) -> str:
    """Draw the table from the records of ``workspace``, write it below ``home``, return it."""
    table = comparison(cells, workspace)
    table.write(home / "tables", "comparison")
    return table.markdown()


def comparison(cells: list[Cell], workspace: Workspace) -> Table:
    """One row a method, all at the setting of ``cells`` at which most methods have a record."""
    found = [
        (cell, {record.seed: record for record in records_of(cell.run, workspace)})
        for cell in cells
    ]
    settings = list(dict.fromkeys(cell.setting for cell in cells))
    recorded = [cell.setting for cell, records in found if records]
    setting = max(settings, key=recorded.count)
    rows = [(cell, records) for cell, records in found if cell.setting == setting]
    by_method = {cell.labels["method"]: records for cell, records in rows}
    _check_parents(by_method)
    caption = CAPTION
    if not cells[0].run.is_result:
        caption = STAND_IN.format(dataset=cells[0].run.dataset, budget=cells[0].budget) + CAPTION
    return Table(caption, HEADER, [_row(cell, records, by_method) for cell, records in rows])


def difference(ours: BySeed, theirs: BySeed) -> str:
    """Final error of ``ours`` minus that of ``theirs`` in points, over the seeds of both.

    The standard error is that of the paired images: two networks that fail on the same images
    differ by less than their errors' own binomial scatter suggests.
    """
    seeds = sorted(ours.keys() & theirs.keys())
    if not seeds:
        return "-"
    differences, variances = [], []
    for seed in seeds:
        a, b = ours[seed].correct_images(), theirs[seed].correct_images()
        per_image = 100 * (b.astype(float) - a)
        differences.append(per_image.mean())
        variances.append(per_image.var() / len(per_image))
    error = np.sqrt(sum(variances)) / len(seeds)
    return f"{mean(differences):+.2f} ± {error:.2f}"


def _row(cell: Cell, records: BySeed, by_method: dict[str, BySeed]) -> list[str]:
    method = cell.labels["method"]
    row = [cell.labels["title"], cell.setting, str(cell.labels["bits"])]
    error = error_over_seeds(list(records.values()))
    if error is None:
        return [*row, f"{NOT_RUN}: `{cell.command}`", "-", "-"]
    against_parent = "-" if method == PARENT else difference(records, by_method.get(PARENT, {}))
    against_control = (
        "-" if method in (PARENT, CONTROL) else difference(records, by_method.get(CONTROL, {}))
    )
    return [*row, str(error), against_parent, against_control]


def _check_parents(by_method: dict[str, BySeed]) -> None:
    """A comparison of networks with different parents would compare the parents.

    Raises:
        ValueError: a record's parent is not the weights of the parent's record of that seed.
    """
    parents = by_method.get(PARENT, {})
    for records in by_method.values():
        for seed, record in records.items():
            if record.parent is None or seed not in parents:
                continue
            if record.parent["weights_sha256"] != parents[seed].weights_sha256:
                raise ValueError(
                    f"{record.identity} seed {seed} started from other weights than those of "
                    f"{parents[seed].identity}"
                )
