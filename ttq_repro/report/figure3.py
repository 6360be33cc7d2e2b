"""Figure 3: error on the test images by epoch and method."""

from __future__ import annotations

from statistics import mean
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ttq_repro.report import released_log, style
from ttq_repro.report.captions import recorded, trailing_of
from ttq_repro.report.compare import of_one_lineage
from ttq_repro.report.drawing import Drawing
from ttq_repro.report.seeds import CellRecords, at_one_setting, error_over_seeds
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.record import last_eighth
from ttq_repro.runs.workspace import Workspace

#: The epochs of a moving mean: more would blur the steps of the learning rate.
WINDOW = 5
CAPTION = (
    "Figure 3: error on the test images (the paper's validation set) by epoch, ResNet-20 on "
    f"CIFAR-10. Pale: each epoch, mean over seeds. Strong: its moving mean over {WINDOW} epochs, "
    "with a band of ± s.d. if there are several seeds. The legend gives the error of the final "
    "epoch, never of the best one, and the mean of the last eighth of the epochs. Full precision "
    "starts from random weights; the others start from its final weights and train for a schedule "
    "of their own."
)
LOGS_ERROR = (
    " In the legend, the log's numbers refer to the {drawn} epochs drawn; the error of its last "
    "epoch, {last}, is {error:.2f}%."
)
LINES: dict[str, dict[str, Any]] = {
    "full_precision": {"color": style.BLACK, "linestyle": "--"},
    "dorefa": {"color": style.GREEN, "linestyle": "-."},
    "twn": {"color": style.ORANGE, "linestyle": (0, (1, 0.6))},
    "ttq": {"color": style.BLUE},
}


def figure3(cells: list[Cell], workspace: Workspace, authors_log: str | None = None) -> Drawing:
    """The errors of all methods at one setting, and the log's if its folder is given."""
    found = of_one_lineage(at_one_setting(cells, workspace), workspace)
    drawn = recorded(found)
    log = released_log.beside(cells, authors_log)
    caption = CAPTION
    if log:
        errors = log["validation_error"]
        caption += released_log.CAPTION + LOGS_ERROR.format(
            drawn=released_log.PAPER_EPOCHS, last=len(errors), error=100 * errors[-1]
        )
    return Drawing(plot(drawn, log), caption, found)


@style.styled
def plot(found: list[CellRecords], log: released_log.ReleasedLog | None = None) -> Figure:
    """One line per method, and the log's TTQ."""
    figure = Figure((style.WIDTH, 3), layout="constrained")
    axes = figure.subplots()
    for one in found:
        method, error = one.cell.labels["method"], error_over_seeds(list(one.records.values()))
        curves = 100 * style.curves_of(one, "test_error")
        label = f"{one.title}: {error}, {trailing_of(one)}"
        _draw(axes, style.epochs(curves), curves, label=label, **LINES[method])
        if method == "ttq" and log is not None:
            _draw_log(axes, log, curves.shape[-1])
    style.epoch_axis(axes)
    style.error_axis(axes, "test error")
    axes.legend(title="error (%): final epoch, mean of last eighth", alignment="left")
    return figure


def _draw(axes: Axes, x: NDArray[Any], curves: NDArray[np.float64], **line: Any) -> None:
    """Draw the mean of curves (seeds, epochs), pale, and over it the moving mean with its band."""
    axes.plot(x, curves.mean(0), color=line["color"], linewidth=0.5, alpha=0.35)
    moving = sliding_window_view(curves, min(WINDOW, len(x)), axis=-1).mean(-1)
    style.band(axes, x[-moving.shape[-1] :], moving, **line)


def _draw_log(axes: Axes, log: released_log.ReleasedLog, ours: int) -> None:
    errors = 100 * log["validation_error"][: released_log.PAPER_EPOCHS]
    trailing = mean(last_eighth(errors.tolist()))
    label = f"TTQ, {released_log.NAME}: {errors[-1]:.2f}, {trailing:.2f}"
    x = style.epochs_laid_over(len(errors), ours)
    _draw(axes, x, errors[None], label=label, color=style.PURPLE)
    style.second_epoch_axis(axes, ours, len(errors), released_log.NAME)
