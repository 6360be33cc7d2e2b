"""The texts in which tables and figures state their source and what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import sqrt
from statistics import mean

from ttq_repro.errors import NothingToDrawError
from ttq_repro.report.caveats import caveats
from ttq_repro.report.seeds import CellRecords, error_over_seeds, machines, record_path
from ttq_repro.runs.cell import Cell, commands
from ttq_repro.runs.run import PAPERS_DATASETS
from ttq_repro.table import NOTHING

#: Placeholders for a number: not run yet, and run but not comparable.
NOT_RUN, LEFT_OUT = "not run", "left out"

#: Data sets of the committed results that are parts of a published one, and its name.
PARTS = {"imagenette": "imagenette_full"}
#: What a setting with several kinds of machine means.
BOTH_KINDS = (
    "`CPU and GPU`: the runs of a row were made on both kinds of machine, whose errors may differ "
    "(see the equality table)."
)


def stand_in(cell: Cell) -> str:
    """The warning that a caption starts with; empty for results on the paper's data."""
    if cell.run.is_result and cell.run.dataset in PAPERS_DATASETS:
        return ""
    name = cell.run.dataset
    if cell.run.is_result:
        images = cell.run.config["data"]["images"]
        return (
            f"Not the paper's numbers: {name} instead, {images['train']:,} photographs "
            f"for training, {images['val']:,} for testing."
        )
    return f"Not the paper's numbers: {name}, {cell.budget} budget, a check that everything works."


def captioned(caption: str, cell: Cell) -> str:
    """``caption`` in Markdown, after the warning of :func:`stand_in`, if any."""
    warning = stand_in(cell)
    if whole := PARTS.get(cell.run.dataset):
        warning += f" The photographs are an unpublished part of those of `DATA={whole}`."
    return f"**{warning}** {caption}" if warning else caption


def not_run(missing: Iterable[Cell]) -> list[str]:
    """What to run for cells without records, a line for each command."""
    return [f"{NOT_RUN}: `{command}`" for command in commands(missing)]


def recorded(found: list[CellRecords]) -> list[CellRecords]:
    """The cells with records, at least one.

    Raises:
        NothingToDrawError: there is none.
    """
    with_records = [one for one in found if one.records]
    if not with_records:
        raise NothingToDrawError(not_run(one.cell for one in found)[0])
    return with_records


def error_of(one: CellRecords) -> str:
    """The error of a cell as shown in tables, or why there is none."""
    error = error_over_seeds(one.records.values())
    return str(error or (LEFT_OUT if one.left_out else NOT_RUN))


def trailing_of(one: CellRecords) -> str:
    """The mean of the last eighth of a cell's epochs, over its seeds."""
    errors = [100 * record.test_error["trailing"] for record in one.records.values()]
    return f"{mean(errors):.2f}" if errors else NOTHING


def by_seed(reference: CellRecords, block: Iterable[CellRecords]) -> str:
    """The errors of ``reference`` that differences in its block start from.

    Empty if the mean that a table shows says as much, because all cells have the same seeds.
    """
    ours = set(reference.records)
    common = [seeds for one in block if one is not reference and (seeds := ours & set(one.records))]
    if all(seeds == ours for seeds in common):
        return ""
    errors = (
        f"{100 * reference.records[seed].test_error['final']:.2f} (seed {seed})"
        for seed in sorted(set().union(*common))
    )
    return (
        f"{reference.name} ({reference.cell.setting}), from which others differ seed by seed: "
        f"{', '.join(errors)}"
    )


def notes_on(found: Sequence[CellRecords], *own: str) -> str:
    """The list below a table: lines of its ``own``, caveats about single runs, what to run.

    Empty lines are left out.
    """
    lines = [*filter(None, own), *caveats(found), *_what_to_run(found)]
    return "\n".join(f"- {line}" for line in dict.fromkeys(lines))


def _what_to_run(found: Iterable[CellRecords]) -> Iterator[str]:
    """What to do about cells that were not run, and about records left out."""
    yield from (
        f"{LEFT_OUT}; to train it again, {remedy}" for one in found for remedy in _remedies(one)
    )
    yield from not_run(one.cell for one in _missing(found))


def _missing(found: Iterable[CellRecords]) -> list[CellRecords]:
    return [one for one in found if not one.records and not one.left_out]


def _remedies(one: CellRecords) -> list[str]:
    """What to do about each record that is left out."""
    return [
        f"delete `{record_path(one.cell, seed)}`, then run `{command}`"
        for seed in one.left_out
        for command in commands([one.cell], seed)
    ]


def scatter_of_images(found: list[CellRecords]) -> str:
    """A sentence on the scatter of an error by the choice of test images; empty without records."""
    records = [record for one in found for record in one.records.values()]
    if not records:
        return ""
    images = min(record.test_images for record in records)
    error = sum(record.test_error["final"] for record in records) / len(records)
    deviation = 100 * sqrt(error * (1 - error) / images)
    return (
        f" With {images:,} images to test on, their choice alone gives an error a standard "
        f"deviation of about {deviation:.1f} points."
    )


def _trained_on(found: list[CellRecords]) -> list[str]:
    """Which networks were trained on which kinds of machine, if there are several."""
    if len(machines(record.machines for one in found for record in one.records.values())) < 2:
        return []
    together: dict[str, list[str]] = {}
    for one in found:
        if kinds := machines(record.machines for record in one.records.values()):
            together.setdefault(" and ".join(kinds), []).append(one.title)
    return [f"Trained on {kinds}: {', '.join(titles)}." for kinds, titles in together.items()]


def drawn_from(found: list[CellRecords]) -> str:
    """The setting of a figure, its seeds and machines, what was not run, and the caveats."""
    titles: dict[int, list[str]] = {}
    for one in found:
        if one.records:
            titles.setdefault(len(one.records), []).append(one.title)
    missing = _missing(found)
    sentences = [f"Budget and precision: {found[0].cell.setting}."]
    sentences += [f"n = {n}: {', '.join(titles[n])}." for n in sorted(titles, reverse=True)]
    sentences += _trained_on(found)
    if missing:
        trained = " and ".join(f"`{command}`" for command in commands(one.cell for one in missing))
        titles_of_missing = ", ".join(one.title for one in missing)
        sentences.append(f"Not run: {titles_of_missing}; to train: {trained}.")
    sentences += [
        f"Left out: a run of {one.title}; to train it again, {way}."
        for one in found
        for way in _remedies(one)
    ]
    sentences += [f"Caveat on {caveat}." for caveat in caveats(found)]
    return " ".join(sentences)
