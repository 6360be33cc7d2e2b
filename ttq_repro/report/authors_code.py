"""TTQ as the released code computes it, drawn over the curves of the released log."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from ttq_repro.report import released_log, style
from ttq_repro.report.captions import recorded
from ttq_repro.report.drawing import Drawing
from ttq_repro.report.figure2 import draw_released_scales, draw_scales
from ttq_repro.report.seeds import CellRecords, at_one_setting, error_over_seeds, records_of
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.workspace import Workspace

CAPTION = (
    "ResNet-20 on CIFAR-10 with the preset authors_code, TTQ as the released code computes it: "
    "error by epoch (above), and the scales W_p and W_n of every quantized layer (below; the "
    "vertical axes differ). Lines are means over seeds, bands ± s.d. The training error is "
    "measured during the epoch, on augmented images. Our runs have {epochs} epochs of one pass "
    "over the data each."
)
PARENT = " They start from a full-precision network of {epochs} epochs, whose error is {error}."
WITH_LOG = (
    " Pale: the released log, one run of {theirs} epochs of two passes each, drawn over the "
    "width of ours; the test error of its last epoch is {error:.2f}%."
)
FEWER = (
    " Our runs make {share:.0%} of its passes: the shapes of the curves can be compared, but not "
    "their ends."
)
WITHOUT_LOG = " Drawn without the released log (AUTHORS_LOG=...)."
COLUMNS = 5
#: For each of our metrics, the log's column, its label, and the line style of both.
ERRORS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "test_error": ("validation_error", "test", {"color": style.BLUE}),
    "train_error": ("train_error", "training", {"color": style.GREEN, "linestyle": "--"}),
}


def authors_code(
    cells: list[Cell], workspace: Workspace, authors_log: str | None = None
) -> Drawing:
    """TTQ at one setting, over the log if its folder is given."""
    found = at_one_setting(cells, workspace)
    ttq, *_ = recorded(found)
    log = released_log.beside(cells, authors_log)
    caption = CAPTION.format(epochs=ttq.cell.run.epochs) + _parent(ttq, workspace)
    caption += WITHOUT_LOG if log is None else _log(ttq, log)
    return Drawing(plot(ttq, log), caption, found)


def _parent(ttq: CellRecords, workspace: Workspace) -> str:
    """A sentence on the network that our seeds start from; empty without its records."""
    run = ttq.cell.run.parent
    records = records_of(run, workspace) if run else []
    error = error_over_seeds(record for record in records if record.seed in ttq.records)
    return PARENT.format(epochs=run.epochs, error=error) if run and error else ""


def _log(ttq: CellRecords, log: released_log.ReleasedLog) -> str:
    errors = log["validation_error"]
    share = ttq.cell.run.epochs / (released_log.PASSES * len(errors))
    caption = WITH_LOG.format(theirs=len(errors), error=100 * errors[-1])
    return caption + (FEWER.format(share=share) if share < 1 else "")


@style.styled
def plot(ttq: CellRecords, log: released_log.ReleasedLog | None = None) -> Figure:
    """One wide panel of errors, and a small panel of scales for each layer."""
    layers = list(next(iter(ttq.records.values())).layers)
    rows = -(-len(layers) // COLUMNS)
    figure = Figure((style.WIDTH, 2.8 + 1.2 * rows), layout="constrained")
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(2.4, 1.2 * rows)).flat
    errors = above.subplots()
    _draw_errors(errors, ttq, log)
    _legend(above, errors)
    grid = below.subplots(rows, COLUMNS, sharex=True, squeeze=False)
    for axes, layer in zip_longest(grid.flat, layers):
        if layer is None:
            axes.set_axis_off()
            continue
        draw_scales(axes, ttq, layer)
        if log is not None:
            draw_released_scales(axes, ttq, layer, log, len(log["epoch"]))
        axes.set_title(layer, fontsize=7)
        axes.tick_params(labelbottom=True)  # In every row, as the last one may not be full.
    for axes in grid[-1]:
        style.epoch_axis(axes)
    below.supylabel("scale", fontsize=8)
    _legend(below, grid[0, 0])
    return figure


def _draw_errors(axes: Axes, ttq: CellRecords, log: released_log.ReleasedLog | None) -> None:
    for metric, (column, name, look) in ERRORS.items():
        curves = 100 * style.curves_of(ttq, metric)
        style.band(axes, style.epochs(curves), curves, label=name, **look)
        if log is not None:
            label = f"{name}, {released_log.NAME}"
            style.laid_over(axes, 100 * log[column], curves.shape[-1], label, alpha=0.5, **look)
    if log is not None:
        style.second_epoch_axis(axes, curves.shape[-1], len(log["epoch"]), released_log.NAME)
    style.epoch_axis(axes)
    style.error_axis(axes, "error")


def _legend(figure: SubFigure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(handles))
