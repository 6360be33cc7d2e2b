"""Figure 6: ternary kernels of the first quantized convolutions, and counts of sparse ones."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ttq_repro.report import style
from ttq_repro.report.captions import captioned, notes_on, recorded
from ttq_repro.report.drawing import Drawing
from ttq_repro.report.seeds import CellRecords, at_one_setting
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.record import Record
from ttq_repro.runs.workspace import Workspace
from ttq_repro.table import Table

CAPTION = (
    "Figure 6: kernels of the second and the third convolution of AlexNet under TTQ, the first "
    "10 inputs (columns) of the first 10 outputs (rows). Black is -W_n, gray is zero, white is "
    "+W_p. Seed {seed}."
)
TABLE_CAPTION = (
    "Kernels of AlexNet's ternary convolutions that are empty or hold a single non-zero weight "
    "(section 6.3): their number, and the share of the weights in % that removing both kinds "
    "saves; in each layer, the share of dense multiplications is the same. Removing empty "
    "kernels costs nothing; removing single ones loses the given share of the non-zero weights. "
    "Seed {seed}, {setting}."
)
HEADER = [
    "layer", "kernels", "empty", "single", "saved by removing both, %", "non-zero weights lost, %"
]  # fmt: skip
FIRST_TERNARY = 2  # conv1 stays float.
PANELS = ("second convolution", "third convolution")
#: Colors of -W_n, 0, +W_p, and of the lines between kernels.
COLORS = ListedColormap(["#000000", "#8C8C8C", "#FFFFFF", "#BFD7EA"])
LINE = 3
#: Suffix of the kernel table's name, after that of the figure.
KERNELS = "_kernels"


def figure6(cells: list[Cell], workspace: Workspace) -> Drawing:
    """Kernels of the first seed of the only cell, TTQ, and the table that counts them."""
    (one,) = recorded(at_one_setting(cells, workspace))
    seed, record = min(one.records.items())
    shown = one.only(lambda other: other.seed == seed)
    tables = {KERNELS: kernel_table(shown)}
    return Drawing(plot(record), CAPTION.format(seed=seed), [shown], tables)


@style.styled
def plot(record: Record) -> Figure:
    """The kernels of the first two ternary convolutions of a record."""
    figure = Figure((style.WIDTH, 2.9), layout="constrained")
    layers = list(record.kernels)[: len(PANELS)]
    for axes, layer, title in zip(figure.subplots(1, 2), layers, PANELS, strict=True):
        tiles = tiled(record.kernel_codes(layer))
        axes.imshow(tiles, cmap=COLORS, vmin=0, vmax=LINE, interpolation="nearest")
        height, width = record.kernels[layer]["shape"][2:]
        axes.set_title(f"{title}, {height}x{width}")
        axes.set_axis_off()
    return figure


def tiled(codes: NDArray[np.int8]) -> NDArray[np.int8]:
    """Kernels (outputs, inputs, height, width) as one image, with lines between them.

    Values: 0, 1 and 2 for the codes -1, 0 and 1, and ``LINE`` for the lines.
    """
    framed = np.pad(codes + 1, ((0, 0), (0, 0), (0, 1), (0, 1)), constant_values=LINE)
    rows = framed.transpose(0, 2, 1, 3)
    image = rows.reshape(rows.shape[0] * rows.shape[1], -1)
    return np.pad(image, ((1, 0), (1, 0)), constant_values=LINE)


class Kernels(NamedTuple):
    """Counts of kernels, of those that are empty or hold a single weight, and of their weights.

    Attributes:
        weights: in all kernels; removable: in kernels that are empty or hold a single one;
        nonzeros: weights that are not zero.
    """

    kernels: int
    empty: int
    single: int
    weights: float
    removable: float
    nonzeros: float

    def row(self, name: str) -> list[str]:
        saved = self.removable / self.weights
        lost = self.single / self.nonzeros if self.nonzeros else 0.0
        counts = (self.kernels, self.empty, self.single)
        return [name, *(f"{n:,}" for n in counts), f"{100 * saved:.3f}", f"{100 * lost:.4f}"]


def kernel_table(one: CellRecords) -> Table:
    """One row per ternary convolution, and their total, from a cell with a single record."""
    (record,) = one.records.values()
    layers = [_kernels(record, layer) for layer in record.kernels]
    total = Kernels(*map(sum, zip(*layers, strict=True)))
    rows = [layer.row(f"conv{number}") for number, layer in enumerate(layers, FIRST_TERNARY)]
    caption = TABLE_CAPTION.format(seed=record.seed, setting=one.cell.setting)
    rows.append(total.row("total"))
    return Table(captioned(caption, one.cell), HEADER, rows, notes_on([one]))


def _kernels(record: Record, layer: str) -> Kernels:
    kept = record.kernels[layer]
    (weights,) = (d["weights"] for d in record.decisions if d["layer"] == layer)
    removable = weights * (kept["empty"] + kept["single"]) / kept["count"]
    nonzeros = weights * (1 - record.layers[layer]["zero"][-1])
    return Kernels(kept["count"], kept["empty"], kept["single"], weights, removable, nonzeros)
