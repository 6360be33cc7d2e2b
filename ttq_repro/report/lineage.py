"""Which networks may be compared: those that started from their parents' recorded weights."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import mode
from typing import NamedTuple, Self

from ttq_repro.report.seeds import CellRecords, records_of
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.record import Record, read_records
from ttq_repro.runs.workspace import Workspace

#: The checksums of networks, by identity and seed.
Weights = dict[tuple[str, int], str]


class Origin(NamedTuple):
    """A network, the checksum of its weights, and where they come from.

    Attributes:
        parent: identity and checksum of the network it started from.
        machine: the kind of machine that trained it.
    """

    identity: str
    seed: int
    weights: str
    parent: tuple[str, str] | None
    machine: str

    @classmethod
    def of(cls, record: Record) -> Self:
        parent = None
        if record.parent is not None:
            parent = record.parent["identity"], record.parent["weights_sha256"]
        return cls(record.identity, record.seed, record.weights_sha256, parent, record.machine)

    @property
    def key(self) -> tuple[str, int]:
        """Identity and seed, unique to the network."""
        return self.identity, self.seed


def weights_of(recorded: Iterable[Origin]) -> Weights:
    """The checksum of every recorded network's weights, and of those of parents without a record.

    Such a parent is taken to have the weights that most of its children started from.

    Args:
        recorded: all networks, compared or not, so that every comparison finds the same.
    """
    own: Weights = {}
    started_from: dict[tuple[str, int], list[str]] = defaultdict(list)
    for origin in set(recorded):
        own[origin.key] = origin.weights
        if origin.parent is not None:
            parent, weights = origin.parent
            started_from[parent, origin.seed].append(weights)
    return {key: mode(sorted(of_children)) for key, of_children in started_from.items()} | own


def mismatched(origins: Iterable[Origin], weights: Weights) -> list[Origin]:
    """The networks that did not start from their parent's weights; warns of each.

    Args:
        weights: those of :func:`weights_of`.
    """
    found = []
    for origin in origins:
        if origin.parent is None:
            continue
        parent, started_from = origin.parent
        if weights[parent, origin.seed] != started_from:
            warnings.warn(
                f"{origin.identity} seed {origin.seed} is left out: it started from other weights "
                f"of {parent} than those recorded; delete its record to train it again"
            )
            found.append(origin)
    return found


def of_one_lineage(found: Sequence[CellRecords], workspace: Workspace) -> list[CellRecords]:
    """The cells without mismatched records; comparing those would compare their parents."""
    origins = [Origin.of(record) for one in found for record in one.records.values()]
    weights = weights_of([*_relatives(found, origins, workspace), *origins])
    apart = {origin.key for origin in mismatched(origins, weights)}
    return [
        one._replace(
            records={s: r for s, r in one.records.items() if (r.identity, s) not in apart},
            left_out=tuple(
                (s, record_path(one.cell, s, workspace))
                for s, record in one.records.items()
                if (record.identity, s) in apart
            ),
        )
        for one in found
    ]


def _relatives(
    found: Sequence[CellRecords], origins: Sequence[Origin], workspace: Workspace
) -> list[Origin]:
    """The parents, whether or not they are compared; if one lacks a record, all networks."""
    runs = {run.identity: run for one in found if (run := one.cell.run.parent)}
    parents = [Origin.of(r) for run in runs.values() for r in records_of(run, workspace)]
    needed = {(origin.parent[0], origin.seed) for origin in origins if origin.parent}
    if needed <= {parent.key for parent in parents}:
        return parents
    folders = {workspace.record(one.cell.run).parents[1] for one in found}
    return [*parents, *(Origin.of(r) for f in folders for r in read_records(f, warnings.warn))]


def record_path(cell: Cell, seed: int, workspace: Workspace) -> str:
    """The path of a seed's record, relative to the workspace, for the user to delete."""
    return str(workspace.record(cell.run.with_seed(seed)).relative_to(workspace.root))
