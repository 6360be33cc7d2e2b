"""Caveats about single runs that their final error does not show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ttq_repro.report.quantities import outlier
from ttq_repro.report.seeds import CellRecords
from ttq_repro.runs.record import Record

SCALES = {"positive_scale": "W_p", "negative_scale": "W_n"}
#: How many scales are named at most, so that a failed run does not fill a page.
NAMED = 3
#: Runs with a parent that finished later see the images in an order, and in views, of their own;
#: those before saw what their parent of the same seed had seen.
OWN_VIEWS_SINCE = "2026-11-28T10"


def caveats(found: Iterable[CellRecords]) -> list[str]:
    """One line for each seed that has caveats, and one if not all runs saw the images alike."""
    seeds = {
        f"{one.name}, seed {seed} ({one.cell.setting})": record
        for one in found
        for seed, record in sorted(one.records.items())
    }
    lines = [
        f"{name}: {'; '.join(reasons)}"
        for name, record in seeds.items()
        if (reasons := list(_reasons(record)))
    ]
    own_views = {name: has_own_views(record) for name, record in seeds.items()}
    if views_differ(own_views.values()):
        own = ", ".join(name for name, is_own in own_views.items() if is_own)
        lines.append(
            f"{own}: did not repeat the order and the crops of the images in their parent's "
            "training; the other runs, until 28 November 2026, did, epoch by epoch"
        )
    return lines


def has_own_views(record: Record) -> bool | None:
    """Whether a run did not repeat its parent's views of the images; None without a parent."""
    return str(record.provenance["finished"]) > OWN_VIEWS_SINCE if record.parent else None


def views_differ(own_views: Iterable[bool | None]) -> bool:
    """Whether only some of the runs with a parent did not repeat its views of the images."""
    return {True, False} <= {*own_views}


def _reasons(record: Record) -> Iterator[str]:
    if off := outlier(record):
        yield (
            f"the final epoch is an outlier ({off.final:.2f}; the median of the last "
            f"{off.epochs} epochs is {off.usual:.2f})"
        )
    if scales := _not_positive(record):
        more = f" and {len(scales) - NAMED} more" if len(scales) > NAMED else ""
        yield f"scales not positive at the end: {', '.join(scales[:NAMED])}{more}"
    if any(stint.get("dirty") for stint in record.stints):
        yield "trained from a checkout with uncommitted changes"
    if replaced := record.provenance.get("replaces"):
        ends = " and ".join(f"{100 * one['final']:.2f}" for one in replaced)
        runs = "earlier runs" if len(replaced) > 1 else "an earlier run"
        yield f"replaces {runs} of this seed whose weights were lost (error: {ends})"


def _not_positive(record: Record) -> list[str]:
    """The final scales, with their values, that flip the sign of their weights or zero them."""
    return [
        f"{symbol} of {layer} ({reported[scale][-1]:.2f})"
        for layer, reported in record.layers.items()
        for scale, symbol in SCALES.items()
        if scale in reported and reported[scale][-1] <= 0
    ]
