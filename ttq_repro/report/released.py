"""The released training logs, drawn beside our curves when a user has them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from ttq_repro.paper.claims import CIFAR10_LOG
from ttq_repro.paper.rules import LogColumn
from ttq_repro.report.authors_log import holds, read_column
from ttq_repro.report.captions import stand_in
from ttq_repro.report.style import GREY
from ttq_repro.runs.cell import Cell

#: How much of the log follows the paper's schedule (drops at 80 and 120, the end at 160).
PAPER_EPOCHS = 160
#: Over the data, in an epoch of the log of ResNet-20.
PASSES = 2
BLOCKS_A_STAGE = 3
NAME = "released log"
CAPTION = (
    " The released log is one run of the authors' code, whose epochs are two passes over the data; "
    "its first 160 are laid over our schedule from start to end."
)


@dataclass(frozen=True)
class ReleasedLog:
    """A log in the folder of the authors' logs: one value an epoch, errors in [0, 1]."""

    folder: Path
    file: str

    def __getitem__(self, column: str) -> NDArray[np.float64]:
        """The values of every epoch, by the log's own name.

        Raises:
            UserError: the folder has no such log, or the log no such column.
        """
        return np.array(read_column(self.folder, LogColumn(self.file, column)))

    def scale(self, layer: str, scale: str) -> NDArray[np.float64]:
        """``positive_scale`` or ``negative_scale`` of a layer of our ResNet-20."""
        theirs = {"positive_scale": "Wp", "negative_scale": "Wn"}[scale]
        return self[f"{released_name(layer)}/{theirs}"]


def beside(cells: list[Cell], folder: str | None, file: str = CIFAR10_LOG) -> ReleasedLog | None:
    """The log to draw beside ``cells``; none without it, or where they are on other data."""
    if not folder or stand_in(cells[0]) or not holds(Path(folder), file):
        return None
    return ReleasedLog(Path(folder), file)


def released_name(layer: str) -> str:
    """What the log calls a layer of our ResNet-20: ``blocks.4.conv1`` is ``res2.1/conv1``."""
    match = re.fullmatch(r"blocks\.(\d+)\.(conv\d)", layer)
    if match is None:
        return layer
    stage, block = divmod(int(match[1]), BLOCKS_A_STAGE)
    return f"res{stage + 1}.{block}/{match[2]}"


def draw(axes: Axes, values: NDArray[np.float64], ours: int, label: str, **look: Any) -> None:
    """A curve of the log, laid over a schedule of ``ours`` epochs from start to end, thinly."""
    x = np.linspace(0, ours, len(values) + 1)[1:]
    axes.plot(x, values, label=label, linewidth=0.8, zorder=1.5, **look)


def epoch_axis(axes: Axes, ours: int, theirs: int) -> None:
    """Count the log's epochs on top, unless the two schedules are of one length."""
    if ours == theirs:
        return
    ratio = ours / theirs
    top = axes.secondary_xaxis(
        "top", functions=(lambda x: np.divide(x, ratio), lambda x: np.multiply(x, ratio))
    )
    top.set_xlabel(f"epoch of the {NAME}", color=GREY)
    top.tick_params(colors=GREY)
    top.spines["top"].set_color(GREY)
