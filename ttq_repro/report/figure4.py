"""Figure 4: accuracy of AlexNet on training and validation images by epoch, of each method."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from ttq_repro.report import style
from ttq_repro.report.captions import file_name, not_run
from ttq_repro.report.figure3 import LINES
from ttq_repro.report.seeds import Found, at_one_setting
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.workspace import Workspace

CAPTION = (
    "Figure 4: top-1 accuracy of AlexNet with batch norm after each epoch, on the training images "
    "as they were seen during it, augmented and by the network of the moment, and on the "
    "validation images. Lines are means over seeds, bands ± s.d.; the legend gives the accuracy "
    "of the final epoch, never of the best one."
)
PANELS = {"train_error": "training", "test_error": "validation"}


def render(cells: list[Cell], workspace: Workspace, home: Path) -> str:
    """Draw the figure from the records of ``workspace``, write it below ``home``."""
    found = at_one_setting(cells, workspace)
    drawn = [one for one in found if one.records]
    figure = figure4(drawn) if drawn else style.empty(not_run(found[0].cell))
    return style.publish(figure, CAPTION, found, home, file_name("figure4", cells[0]))


@style.styled
def figure4(found: list[Found]) -> Figure:
    """One line a method in a panel for each kind of images."""
    figure = Figure((style.WIDTH, 2.8), layout="constrained")
    for axes, (metric, name) in zip(
        figure.subplots(1, 2, sharey=True), PANELS.items(), strict=True
    ):
        for one in found:
            accuracy = 100 * (1 - style.curves_of(one, metric))
            label = f"{one.title}: {accuracy[:, -1].mean():.1f}"
            line = LINES[one.cell.labels["method"]]
            style.band(axes, style.epochs(accuracy), accuracy, label=label, **line)
        style.epoch_axis(axes)
        axes.set_title(f"{name} images")
        axes.grid(axis="y", color="#E6E6E6", linewidth=0.5)
        axes.legend(loc="lower right")
    figure.axes[0].set_ylabel("top-1 accuracy (%)")
    return figure
