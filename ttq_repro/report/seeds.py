"""The records of one experiment over its seeds, and their mean error."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Literal, NamedTuple

from ttq_repro.runs.cell import Cell, told_workspace
from ttq_repro.runs.record import Record, read_records
from ttq_repro.runs.run import Run
from ttq_repro.runs.workspace import Workspace


@dataclass(frozen=True)
class MeanAndDeviation:
    """A final-epoch value in percent: mean, s.d. (None for one seed), number of seeds."""

    mean: float
    deviation: float | None
    count: int

    def __str__(self) -> str:
        spread = "" if self.deviation is None else f" ± {self.deviation:.2f}"
        return f"{self.mean:.2f}{spread} (n={self.count})"


#: The records of one experiment by seed.
BySeed = dict[int, Record]


class CellRecords(NamedTuple):
    """A cell, its records, and the seeds whose record must not be compared."""

    cell: Cell
    records: BySeed
    left_out: tuple[int, ...] = ()

    @property
    def title(self) -> str:
        """The name of its series or row."""
        return self.cell.labels["title"]

    @property
    def name(self) -> str:
        """Its title, with the stage if the artifact has the same method in several."""
        stage = self.cell.labels.get("stage")
        return f"{self.title}, {stage}" if stage else self.title

    def only(self, fits: Callable[[Record], bool]) -> CellRecords:
        """The cell with those of its records that fit."""
        return self._replace(records={s: r for s, r in self.records.items() if fits(r)})


def records_of(run: Run, workspace: Workspace) -> list[Record]:
    """The records of every seed of a run's identity; warns of unreadable ones."""
    return list(read_records(workspace.record(run).parent, warn=warnings.warn))


def record_path(cell: Cell, seed: int) -> str:
    """The path of a seed's record, as :func:`ttq_repro.runs.cell.commands` names the workspace."""
    return str(Workspace(Path(told_workspace(cell) or "")).record(cell.run.with_seed(seed)))


def found_of(cell: Cell, workspace: Workspace) -> CellRecords:
    """A cell with all of its records."""
    return CellRecords(cell, {record.seed: record for record in records_of(cell.run, workspace)})


def at_one_setting(cells: list[Cell], workspace: Workspace) -> list[CellRecords]:
    """The cells of one :attr:`Cell.setting`, with their records.

    Networks of different settings are never compared. The setting chosen is the one at which most
    cells have a record.
    """
    return _fullest([found_of(cell, workspace) for cell in cells])


def _fullest(found: list[CellRecords]) -> list[CellRecords]:
    recorded = [one.cell.setting for one in found if one.records]
    setting = max((one.cell.setting for one in found), key=recorded.count)
    return [one for one in found if one.cell.setting == setting]


def by_setting(
    cells: list[Cell], workspace: Workspace, is_reference: Callable[[CellRecords], bool]
) -> list[list[CellRecords]]:
    """The cells of the setting at which most have a record, then one list per other setting.

    From other settings come the cells with a record, those that are not among the cells of the
    settings before, and the references that both are compared with; a setting that has only
    references is left out.
    """
    found = [found_of(cell, workspace) for cell in cells]
    most = _fullest(found)
    titles = {one.title for one in most}
    blocks = [most]
    for setting in dict.fromkeys(cell.setting for cell in cells):
        if setting == most[0].cell.setting:
            continue
        shown = [
            one
            for one in found
            if one.cell.setting == setting
            and (one.records or is_reference(one) or one.title not in titles)
        ]
        titles |= {one.title for one in shown}
        if not all(map(is_reference, shown)):
            blocks.append(shown)
    return blocks


def shared_seeds(found: Iterable[CellRecords]) -> set[int]:
    """The seeds that all cells with records have."""
    seeds = [one.records.keys() for one in found if one.records]
    return set[int]().union(*seeds).intersection(*seeds)


def machines(used: Iterable[frozenset[str]]) -> list[str]:
    """The kinds of machine that runs used, each once."""
    return sorted(frozenset[str]().union(*used))


def with_machines(setting: str, used: Iterable[frozenset[str]]) -> str:
    """A setting and, if there are several, the kinds of machine, which a setting leaves open."""
    several = machines(used)
    return f"{setting}, {' and '.join(several)}" if len(several) > 1 else setting


def basis(one: CellRecords, *compared: BySeed) -> str:
    """The setting of a cell and, if several, the kinds of machine of its seeds.

    This includes the same seeds of what the cell is compared with.
    """
    runs = [by_seed[s] for by_seed in (one.records, *compared) for s in one.records if s in by_seed]
    return with_machines(one.cell.setting, (record.machines for record in runs))


def error_over_seeds(records: Iterable[Record], top: Literal[1, 5] = 1) -> MeanAndDeviation | None:
    """The final error over the seeds of one experiment, None if no record has it."""
    if top == 1:
        errors = [100 * record.test_error["final"] for record in records]
    else:
        curves = [record.metrics.get("test_top5_error") for record in records]
        errors = [100 * curve[-1] for curve in curves if curve]
    return mean_and_deviation(errors)


def mean_and_deviation(values: Sequence[float]) -> MeanAndDeviation | None:
    """Mean and s.d. of one value per seed, None without values."""
    if not values:
        return None
    return MeanAndDeviation(mean(values), stdev(values) if len(values) > 1 else None, len(values))
