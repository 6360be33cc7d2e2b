"""Figure 4: accuracy of AlexNet on training and validation images by epoch and method."""

from __future__ import annotations

from matplotlib.figure import Figure

from ttq_repro.paper.claims import ALEXNET_LOG
from ttq_repro.report import released_log, style
from ttq_repro.report.captions import recorded
from ttq_repro.report.drawing import Drawing
from ttq_repro.report.figure3 import LINES
from ttq_repro.report.seeds import CellRecords, at_one_setting
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.workspace import Workspace

CAPTION = (
    "Figure 4: top-1 accuracy of AlexNet with batch norm by epoch, on the training images and "
    "on the validation images. Training accuracy is measured during the epoch: on augmented "
    "images, with dropout if there is any. Lines are means over seeds, bands ± s.d.; the legend"
    " gives the accuracy of the final epoch, never of the best one."
)
LOG_CAPTION = (
    " The released log is one run of the authors' code, drawn over the width of our schedule."
)
#: For each of our metrics, the title of its panel and the log's column.
PANELS = {
    "train_error": ("training", "train-error-top1"),
    "test_error": ("validation", "val-error-top1"),
}


def figure4(cells: list[Cell], workspace: Workspace, authors_log: str | None = None) -> Drawing:
    """The accuracies of all methods at one setting, and the log's if its folder is given."""
    found = at_one_setting(cells, workspace)
    log = released_log.beside(cells, authors_log, ALEXNET_LOG)
    caption = CAPTION + (LOG_CAPTION if log else "")
    return Drawing(plot(recorded(found), log), caption, found)


@style.styled
def plot(found: list[CellRecords], log: released_log.ReleasedLog | None = None) -> Figure:
    """One panel per kind of images, with one line per method and the log's TTQ."""
    figure = Figure((style.WIDTH, 2.8), layout="constrained")
    panels = zip(figure.subplots(1, 2, sharey=True), PANELS.items(), strict=True)
    for axes, (metric, (name, column)) in panels:
        for one in found:
            accuracy = 100 * (1 - style.curves_of(one, metric))
            label = f"{one.title}: {accuracy[:, -1].mean():.1f}"
            line = LINES[one.cell.labels["method"]]
            style.band(axes, style.epochs(accuracy), accuracy, label=label, **line)
        if log is not None:
            theirs = 100 * (1 - log[column])
            label = f"TTQ, {released_log.NAME}: {theirs[-1]:.1f}"
            style.laid_over(axes, theirs, accuracy.shape[-1], label, color=style.PURPLE)
        style.epoch_axis(axes)
        axes.set_title(f"{name} images")
        style.horizontal_grid(axes)
        axes.legend(loc="lower right")
    figure.axes[0].set_ylabel("top-1 accuracy (%)")
    return figure
