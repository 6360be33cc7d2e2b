"""The common style of all figures."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import style as matplotlib_style
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter
from numpy.typing import NDArray

from ttq_repro.report.seeds import CellRecords

#: Text width of the paper's format in inches.
WIDTH = 5.5

#: Colors that color-blind readers can tell apart (Okabe and Ito).
BLACK, GREY, BLUE, PURPLE = "#000000", "#707070", "#0072B2", "#CC79A7"
ORANGE, VERMILLION, GREEN = "#E69F00", "#D55E00", "#009E73"

#: Colors of W_n, zero and W_p in every figure.
NEGATIVE, ZERO, POSITIVE = VERMILLION, "#C8C8C8", BLUE
#: In ascending order, in which shares are stacked.
SIGNS = {"negative": NEGATIVE, "zero": ZERO, "positive": POSITIVE}

STYLE: dict[str, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.title_fontsize": 7,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.axisbelow": True,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "savefig.dpi": 300,
    # Without it, element ids in an SVG are random.
    "svg.hashsalt": "ttq_repro",
}

#: Decorator of functions that draw or save a figure; ignores a user's own matplotlibrc.
styled = matplotlib_style.context(["default", STYLE])


def band(axes: Axes, x: Any, curves: Any, **line: Any) -> None:
    """Draw the mean of ``curves`` (seeds, points) and, if there are several, a band of ± s.d."""
    curves = np.asarray(curves, float)
    mean = curves.mean(0)
    (drawn,) = axes.plot(x, mean, **line)
    if len(curves) > 1:
        deviation = curves.std(0, ddof=1)
        axes.fill_between(
            x, mean - deviation, mean + deviation, color=drawn.get_color(), alpha=0.2, linewidth=0
        )


def curves_of(found: CellRecords, metric: str) -> NDArray[np.float64]:
    """A metric of every epoch, of shape (seeds, epochs)."""
    return np.array([record.metrics[metric] for record in found.records.values()])


def epochs(curves: NDArray[np.float64]) -> NDArray[np.int64]:
    """The epoch numbers, from 1, of curves (seeds, epochs)."""
    return np.arange(1, curves.shape[-1] + 1)


def epoch_axis(axes: Axes) -> None:
    """Name the horizontal axis, and mark whole epochs only."""
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))


def laid_over(axes: Axes, values: NDArray[np.float64], ours: int, label: str, **look: Any) -> None:
    """Draw a thin curve of another schedule, stretched over all ``ours`` epochs."""
    x = epochs_laid_over(len(values), ours)
    axes.plot(x, values, label=label, linewidth=0.8, zorder=1.5, **look)


def epochs_laid_over(theirs: int, ours: int) -> NDArray[np.float64]:
    """The ends of ``theirs`` epochs when stretched over a schedule of ``ours`` epochs."""
    return np.linspace(0, ours, theirs + 1)[1:]


def second_epoch_axis(axes: Axes, ours: int, theirs: int, of: str) -> None:
    """Add a top axis with the epochs ``of`` another schedule, unless both are equally long."""
    if ours == theirs:
        return
    ratio = ours / theirs
    top = axes.secondary_xaxis(
        "top", functions=(lambda x: np.divide(x, ratio), lambda x: np.multiply(x, ratio))
    )
    top.set_xlabel(f"epoch of the {of}", color=GREY)
    top.tick_params(colors=GREY)
    top.spines["top"].set_color(GREY)


def error_axis(axes: Axes, name: str) -> None:
    """Make the vertical axis logarithmic, as errors (in %) span a decade in training."""
    axes.set(yscale="log", ylabel=f"{name} (%), log scale")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    horizontal_grid(axes)


def horizontal_grid(axes: Axes) -> None:
    """Draw faint lines at the ticks of the vertical axis."""
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.5)
