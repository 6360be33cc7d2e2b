"""Figure 3: error on the test images by epoch, of each method."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ttq_repro.report import released_log, style
from ttq_repro.report.captions import recorded
from ttq_repro.report.lineage import of_one_lineage
from ttq_repro.report.seeds import Found, at_one_setting, error_over_seeds
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.workspace import Workspace

CAPTION = (
    "Figure 3: error on the test images (the paper's validation set) after each epoch, ResNet-20 "
    "on CIFAR-10. Lines are means over seeds, bands ± s.d.; the legend gives the error of the "
    "final epoch, never of the best one. Full precision starts from random weights; the others "
    "start from its last epoch and train for a schedule of their own."
)
LOGS_ERROR = (
    " The log's error in the legend is that of the last epoch drawn, {drawn}; of its last one, "
    "{last}, it is {error:.2f}%."
)
LINES: dict[str, dict[str, Any]] = {
    "full_precision": {"color": style.BLACK, "linestyle": "--"},
    "dorefa": {"color": style.GREEN, "linestyle": "-."},
    "twn": {"color": style.ORANGE, "linestyle": (0, (4, 1, 1, 1, 1, 1))},
    "ttq": {"color": style.BLUE},
}


def render(
    cells: list[Cell], workspace: Workspace, home: Path, authors_log: str | None = None
) -> str:
    """Draw the figure from the records of ``workspace``, write it below ``home``."""
    found = of_one_lineage(at_one_setting(cells, workspace), workspace)
    drawn = recorded(found)
    log = released_log.beside(cells, authors_log)
    caption = CAPTION
    if log:
        errors = log["validation_error"]
        caption += released_log.CAPTION + LOGS_ERROR.format(
            drawn=released_log.PAPER_EPOCHS, last=len(errors), error=100 * errors[-1]
        )
    return style.publish(figure3(drawn, log), caption, found, home, "figure3")


@style.styled
def figure3(found: list[Found], log: released_log.ReleasedLog | None = None) -> Figure:
    """One line a method, and the log's TTQ."""
    figure = Figure((style.WIDTH, 3), layout="constrained")
    axes = figure.subplots()
    for one in found:
        method, error = one.cell.labels["method"], error_over_seeds(list(one.records.values()))
        curves = 100 * style.curves_of(one, "test_error")
        label = f"{one.title}: {error}"
        style.band(axes, style.epochs(curves), curves, label=label, **LINES[method])
        if method == "ttq" and log is not None:
            _draw_log(axes, log, curves.shape[-1])
    style.epoch_axis(axes)
    style.error_axis(axes, "test error")
    axes.legend()
    return figure


def _draw_log(axes: Axes, log: released_log.ReleasedLog, ours: int) -> None:
    errors = 100 * log["validation_error"][: released_log.PAPER_EPOCHS]
    label = f"TTQ, {released_log.NAME}: {errors[-1]:.2f} (n=1), epoch {len(errors)}"
    style.laid_over(axes, errors, ours, label, color=style.SKY)
    style.second_epoch_axis(axes, ours, len(errors), released_log.NAME)
