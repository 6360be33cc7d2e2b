"""Table 4: density and bit width of AlexNet's layers under pruning and under TTQ."""

from __future__ import annotations

from collections.abc import Sequence

from ttq_repro.paper.reported import TABLE4, TABLE4_LAYERS, ReportedDensity
from ttq_repro.paper.rules import Density
from ttq_repro.report.captions import NOT_RUN, captioned, notes_on
from ttq_repro.report.quantities import measure
from ttq_repro.report.seeds import MeanAndDeviation, at_one_setting, basis, mean_and_deviation
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.record import Record
from ttq_repro.runs.run import PAPERS_DATASETS
from ttq_repro.runs.workspace import Workspace
from ttq_repro.table import NOTHING, Table

CAPTION = (
    "Table 4: share of AlexNet's weights that are not zero, in %, and bits per weight, after "
    "pruning (Han et al., NIPS 2015, with the widths of Deep Compression; both as the paper "
    "quotes them) and with TTQ. Ours are given for the end of training and also for its start, "
    "on which the end depends; mean ± s.d. over n seeds. Totals are weighted by the number of "
    "weights."
)
HEADER = [
    "layer", "weights",
    "pruning", "pruning, bits",
    "TTQ, paper", "TTQ, paper, bits",
    "TTQ before training, ours", "TTQ, ours", "TTQ, ours, bits", "difference",
]  # fmt: skip
TERNARY_BITS, FLOAT_BITS = 2, 32


def table4(cells: list[Cell], workspace: Workspace) -> Table:
    """One row per layer and total, in the paper's order, from the only cell, TTQ."""
    (found,) = at_one_setting(cells, workspace)
    records = list(found.records.values())
    rows = [_row(name, *reported, records) for name, reported in TABLE4.items()]
    # A stand-in has no difference column: the paper has no numbers for it.
    columns = len(HEADER) - (found.cell.run.dataset not in PAPERS_DATASETS)
    caption = f"{CAPTION} Budget and precision: {basis(found)}."
    rows = [row[:columns] for row in rows]
    return Table(captioned(caption, found.cell), HEADER[:columns], rows, notes_on([found]))


def _row(
    name: str, pruning: ReportedDensity, ttq: ReportedDensity, records: Sequence[Record]
) -> list[str]:
    places = TABLE4_LAYERS[name]
    reported = [str(pruning.percent), _bits(pruning.bits), str(ttq.percent), _bits(ttq.bits)]
    if not records:
        return [name, NOTHING, *reported, NOTHING, NOT_RUN, NOTHING, NOTHING]
    layers = [records[0].decisions[place] for place in places]
    before = _mean(records, Density(places, at_start=True))
    ours = _mean(records, Density(places))
    widths = {TERNARY_BITS if layer["quantize"] else FLOAT_BITS for layer in layers}
    return [
        name,
        f"{sum(layer['weights'] for layer in layers):,}",
        *reported,
        str(before or NOTHING),
        str(ours or NOT_RUN),
        _bits(widths.pop() if len(widths) == 1 else None),
        f"{ours.mean - ttq.percent:+.1f}" if ours else NOTHING,
    ]


def _mean(records: Sequence[Record], density: Density) -> MeanAndDeviation | None:
    values = [measure(record, density) for record in records]
    return mean_and_deviation([value for value in values if value is not None])


def _bits(bits: int | None) -> str:
    return NOTHING if bits is None else str(bits)
