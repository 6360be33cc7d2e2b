"""Figure 2: the trained scales and the shares of the three weight values during training."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ttq_repro.report import released_log, style
from ttq_repro.report.captions import recorded
from ttq_repro.report.drawing import Drawing
from ttq_repro.report.seeds import CellRecords, at_one_setting
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.workspace import Workspace

CAPTION = (
    "Figure 2: trained scales (above) and shares of negative, zero and positive weights (below, "
    "from bottom to top) by epoch, ResNet-20 on CIFAR-10: the first and the last quantized "
    "convolution and the fully connected layer. Lines are means over seeds, bands ± s.d. (below: "
    "of each boundary). Training starts from W_p = W_n = 1 and full-precision weights; the first "
    "values are those after one epoch."
)
#: Positions among the quantized layers, in the network's order.
PANELS = (0, -2, -1)
SCALES: dict[str, tuple[str, dict[str, Any]]] = {
    "positive_scale": ("$W_p$", {"color": style.POSITIVE}),
    "negative_scale": ("$W_n$", {"color": style.NEGATIVE, "linestyle": "--"}),
}


def figure2(cells: list[Cell], workspace: Workspace, authors_log: str | None = None) -> Drawing:
    """Scales and shares of TTQ at one setting, and the log's scales if its folder is given."""
    found = at_one_setting(cells, workspace)
    ttq, *_ = recorded(found)
    log = released_log.beside(cells, authors_log)
    caption = CAPTION + (released_log.CAPTION if log else "")
    return Drawing(plot(ttq, log), caption, found)


@style.styled
def plot(ttq: CellRecords, log: released_log.ReleasedLog | None = None) -> Figure:
    """One column per layer: scales above, shares below."""
    figure = Figure((style.WIDTH, 3.9), layout="constrained")
    axes = figure.subplots(2, len(PANELS), sharex=True, sharey="row")
    layers = list(next(iter(ttq.records.values())).layers)
    for (above, below), position in zip(axes.T, PANELS, strict=True):
        layer = layers[position]
        above.set_title(layer)
        draw_scales(above, ttq, layer)
        if log is not None:
            draw_released_scales(above, ttq, layer, log, released_log.PAPER_EPOCHS)
        _draw_shares(below, ttq, layer)
        style.epoch_axis(below)
    axes[0, 0].set_ylabel("scale")
    axes[1, 0].set_ylabel("share of weights (%)")
    entries = [
        *axes[0, 0].get_legend_handles_labels()[0],
        *axes[1, 0].collections[: len(style.SIGNS)],
    ]
    figure.legend(handles=entries, loc="outside lower center", ncols=(len(entries) + 1) // 2)
    return figure


def draw_scales(axes: Axes, ttq: CellRecords, layer: str) -> None:
    """W_p and W_n of a layer by epoch."""
    for quantity, (symbol, look) in SCALES.items():
        curves = _by_seed(ttq, layer, quantity)
        style.band(axes, style.epochs(curves), curves, label=symbol, **look)


def draw_released_scales(
    axes: Axes, ttq: CellRecords, layer: str, log: released_log.ReleasedLog, theirs: int
) -> None:
    """W_p and W_n of a layer in the log's first ``theirs`` epochs, stretched to our schedule."""
    for quantity, (symbol, look) in SCALES.items():
        values, ours = log.scale(layer, quantity)[:theirs], _by_seed(ttq, layer, quantity).shape[-1]
        label = f"{symbol}, {released_log.NAME}"
        style.laid_over(axes, values, ours, label, alpha=0.5, **look)


def _draw_shares(axes: Axes, ttq: CellRecords, layer: str) -> None:
    shares = [100 * _by_seed(ttq, layer, name) for name in style.SIGNS]
    means = [share.mean(0) for share in shares]
    x = style.epochs(shares[0])
    colors = list(style.SIGNS.values())
    axes.stackplot(x, *means, labels=list(style.SIGNS), colors=colors, alpha=0.6, linewidth=0)
    for boundary in (shares[0], shares[0] + shares[1]):
        style.band(axes, x, boundary, color=style.BLACK, linewidth=0.6)
    axes.set(ylim=(0, 100), xlim=(0, x[-1]))
    # Final shares are printed beside their areas, and kept apart where areas are thin.
    ends = [mean[-1] for mean in means]
    height = -np.inf
    for end, top in zip(ends, np.cumsum(ends), strict=True):
        height = max(height + 9, top - end / 2)
        axes.text(x[-1], height, f" {end:.0f}%", va="center", fontsize=7)


def _by_seed(found: CellRecords, layer: str, quantity: str) -> NDArray[np.float64]:
    """A quantity of a layer, of shape (seeds, epochs)."""
    return np.array([record.layers[layer][quantity] for record in found.records.values()])
