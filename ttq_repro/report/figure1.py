"""Figure 1: the weights of one layer in the four stages of TTQ, before and after training."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from ttq_repro.report import style
from ttq_repro.report.captions import recorded
from ttq_repro.report.drawing import Drawing
from ttq_repro.report.seeds import at_one_setting
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.record import Record
from ttq_repro.runs.workspace import Workspace

CAPTION = (
    "Figure 1: the weights of one layer of ResNet-20 on CIFAR-10, before and after TTQ "
    "training. From left to right: the latent weights; normalized by the largest magnitude, "
    "with the threshold ±t; the intermediate ternary weights, negative, zero or positive; the "
    "final ones, with the trained scales. Before training the latent weights are those of the "
    "full-precision network and both scales are 1. Before and after training, the axes of the "
    "latent weights differ."
)
STAGES = ("latent\n$w$", "normalized\n$w / \\max|w|$", "intermediate\nternary", "final\nternary")


def figure1(cells: list[Cell], workspace: Workspace) -> Drawing:
    """The stages of the first seed of TTQ, from the setting that has records."""
    ttq, *_ = recorded(at_one_setting(cells, workspace))
    seed, record = min(ttq.records.items())
    layer = chosen_layer(record)
    shown = [ttq.only(lambda other: other.seed == seed)]
    caption = f"{CAPTION} Layer {layer}, seed {seed}."
    return Drawing(plot(record, layer), caption, shown)


def chosen_layer(record: Record) -> str:
    """The quantized layer in the middle of the network."""
    layers = list(record.histograms)
    return layers[len(layers) // 2]


@style.styled
def plot(record: Record, layer: str) -> Figure:
    """One row before and one after training, one column per stage."""
    figure = Figure((style.WIDTH, 3), layout="constrained")
    axes = figure.subplots(2, len(STAGES))
    for above, below in axes.T[1:]:
        below.sharex(above)
        above.tick_params(labelbottom=False)
    threshold = record.config["quantizer"]["threshold"]
    for row, (moment, weights) in zip(axes, record.histograms[layer].items(), strict=True):
        latent, normalized, intermediate, final = row
        latent.set_ylabel(f"{moment} training\n% of weights")
        _draw_histogram(latent, weights, weights["largest"])
        _draw_histogram(normalized, weights, 1, threshold)
        _draw_levels(intermediate, weights, 1, 1)
        _draw_levels(final, weights, weights["negative_scale"], weights["positive_scale"], ".2f")
    for (above, below), title in zip(axes.T, STAGES, strict=True):
        above.set_title(title)
        below.set_xlabel("weight")
    return figure


def _draw_histogram(
    axes: Axes, weights: dict[str, Any], largest: float, threshold: float | None = None
) -> None:
    """Bins from -largest to largest; with a threshold, colored by the sign that they become."""
    # Short tick labels, so that they do not overlap.
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    counts = np.array(weights["counts"])
    shares = 100 * counts / counts.sum()
    edges = np.linspace(-largest, largest, len(counts) + 1)
    if threshold is None:
        axes.stairs(shares, edges, color=style.BLACK, linewidth=0.6)
        return
    middles = (edges[:-1] + edges[1:]) / 2
    becomes = np.sign(middles) * (abs(middles) > threshold)
    for value, color in zip((-1, 0, 1), style.SIGNS.values(), strict=True):
        axes.stairs(np.where(becomes == value, shares, 0), edges, fill=True, color=color)
    for edge in (-threshold, threshold):
        axes.axvline(edge, color=style.BLACK, linewidth=0.6, linestyle=":")


def _draw_levels(
    axes: Axes, weights: dict[str, Any], negative: float, positive: float, digits: str = ".0f"
) -> None:
    """One bar per value, as high as the share of the weights that have it."""
    for level, (sign, color) in zip((-negative, 0, positive), style.SIGNS.items(), strict=True):
        share = 100 * weights[sign]
        axes.bar(level, share, width=0.25, color=color)
        value = f"{level:+{digits}}\n".replace("-", "\N{MINUS SIGN}") if level else ""
        axes.annotate(
            f"{value}{share:.0f}%",
            (level, share),
            (0, 2),
            textcoords="offset points",
            ha="center",
            fontsize=6,
        )
    axes.margins(x=0.35)
    axes.set(ylim=(0, 100), yticks=(0, 50, 100), xticks=(-1, 0, 1))
