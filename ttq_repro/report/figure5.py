"""Figure 5: error against the share of zeros, at constant sparsity or constant threshold."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from ttq_repro.paper.reported import FIGURE5_LEAST_ERROR, FIGURE5_MARK
from ttq_repro.report import style
from ttq_repro.report.captions import recorded, scatter_of_images
from ttq_repro.report.compare import of_one_lineage
from ttq_repro.report.drawing import Drawing
from ttq_repro.report.seeds import CellRecords, at_one_setting, shared_seeds
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.workspace import Workspace

CAPTION = (
    "Figure 5: test error (the paper's validation error) and training error of the final epoch "
    "against sparsity, ResNet-20 on CIFAR-10. TTQ starts from one full-precision parent per "
    "seed and has a constant sparsity r in every layer, or a constant threshold t, which is "
    "written below its point. Sparsity is the share of zeros over all quantized weights at the "
    "end of training.{seeds} Lines between points only guide the eye. The training error is "
    "measured during the epoch, on augmented images. Horizontal lines: the parent, and the "
    "control, which trained further in full precision for as long as TTQ. Vertical line: the "
    "mark in the paper's figure; tinted: the range where its text reports the lowest error."
)
#: The minimum range of the horizontal axis, in percent of zeros.
SPAN = (-2, 72)
PANELS = {"test_error": "test error (%)", "train_error": "training error (%)"}
LINES: dict[str, dict[str, Any]] = {
    "full_precision": {"color": style.BLACK, "linestyle": "--"},
    "control": {"color": style.GREY, "linestyle": "-."},
}
#: Lines are dotted, as nothing was measured between points; thresholds are too few, and too far
#: apart, for a line.
SWEEPS: dict[str, tuple[str, dict[str, Any]]] = {
    "sparsity": (
        "TTQ, constant sparsity $r$",
        {"color": style.BLUE, "marker": "o", "linestyle": ":", "linewidth": 0.8},
    ),
    "threshold": (
        "TTQ, constant threshold $t$",
        {"color": style.VERMILLION, "marker": "s", "linestyle": "none"},
    ),
}
#: Keeps a label readable over what is drawn below it.
OUTLINED = [withStroke(linewidth=2, foreground="white")]


def figure5(cells: list[Cell], workspace: Workspace) -> Drawing:
    """The errors of all networks at one setting, over the seeds that all of them share."""
    whole = of_one_lineage(at_one_setting(cells, workspace), workspace)
    # Points are compared with each other.
    common = sorted(shared_seeds(whole))
    found = [one.only(lambda record: record.seed in common) for one in whole] if common else whole
    usable = recorded(found)
    seeds = _over_seeds(usable, whole, common)
    return Drawing(plot(usable), CAPTION.format(seeds=seeds) + scatter_of_images(usable), found)


def _over_seeds(usable: list[CellRecords], whole: list[CellRecords], common: list[int]) -> str:
    """What the caption says about seeds: what points are, and which seeds they leave out."""
    several = any(len(one.records) > 1 for one in usable)
    told = ""
    if several and common:
        told = " Points are means ± s.d. over the seeds that all points share."
    elif several:
        told = " Points are means ± s.d., each over its own seeds, as no seed is common to all."
    if more := [one.title for one in whole if common and len(one.records) > len(common)]:
        shared, theirs = ", ".join(map(str, common)), ", ".join(more)
        told += f" Seeds other than {shared}, which not all have, are left out of {theirs}."
    return told


@style.styled
def plot(found: list[CellRecords]) -> Figure:
    """One panel of the test error and one of the training error."""
    figure = Figure((style.WIDTH, 3), layout="constrained")
    panels = figure.subplots(1, len(PANELS), sharex=True)
    for axes, (metric, name) in zip(panels, PANELS.items(), strict=True):
        for one in filter(_is_line, found):
            _draw_line(axes, one, _final(one, metric))
        for series, (title, look) in SWEEPS.items():
            points = [one for one in found if one.cell.labels["series"] == series]
            if points:
                _draw_sweep(axes, points, metric, label=title, **look)
        mark, least = f"paper: w/o pruning {FIGURE5_MARK}%", "paper: least error"
        axes.axvline(FIGURE5_MARK, color=style.GREY, linewidth=0.8, linestyle=":", label=mark)
        # Not gray, as the bands of ± s.d. are.
        axes.axvspan(*FIGURE5_LEAST_ERROR, color="#FDF0D0", linewidth=0, zorder=0, label=least)
        axes.set(xlabel="sparsity reached (%)", ylabel=name)
        axes.margins(y=0.12)
        low, high = axes.get_xlim()
        axes.set_xlim(min(low, SPAN[0]), max(high, SPAN[1]))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def _draw_line(axes: Axes, one: CellRecords, errors: NDArray[np.float64]) -> None:
    look = LINES[one.cell.labels["series"]]
    axes.axhline(errors.mean(), label=one.title, **look)
    if len(errors) > 1:
        spread = errors.std(ddof=1)
        axes.axhspan(
            errors.mean() - spread, errors.mean() + spread, color=look["color"], alpha=0.15, lw=0
        )


def _draw_sweep(axes: Axes, points: list[CellRecords], metric: str, **look: Any) -> None:
    """Draw points at the sparsity reached, with error bars of ± s.d. on both axes and labels."""
    x = [100 * np.array(_sparsities(one), float) for one in points]
    y = [_final(one, metric) for one in points]
    axes.errorbar(
        [values.mean() for values in x],
        [values.mean() for values in y],
        xerr=_spreads(x),
        yerr=_spreads(y),
        elinewidth=0.8,
        **look,
    )
    if points[0].cell.labels["series"] == "threshold":
        for one, at, height in zip(points, x, y, strict=True):
            axes.annotate(
                # .01 and .02 fit side by side, 0.01 and 0.02 would not.
                one.title.removeprefix("t = 0"),
                (at.mean(), height.mean()),
                (0, -4),  # Below, as the constant sparsities lie above.
                textcoords="offset points",
                ha="center",
                va="top",
                fontsize=6.5,
                color=look["color"],
                path_effects=OUTLINED,
            )


def _is_line(one: CellRecords) -> bool:
    return one.cell.labels["series"] in LINES


def _sparsities(one: CellRecords) -> list[float | None]:
    return [record.sparsity() for record in one.records.values()]


def _final(one: CellRecords, metric: str) -> NDArray[np.float64]:
    """A metric of the final epoch in percent, one value per seed."""
    return 100 * style.curves_of(one, metric)[:, -1]


def _spreads(points: list[NDArray[np.float64]]) -> list[float] | None:
    """The s.d. of each point, 0 for a single seed; None if no point has several seeds."""
    if all(len(values) == 1 for values in points):
        return None
    return [float(values.std(ddof=1)) if len(values) > 1 else 0.0 for values in points]
