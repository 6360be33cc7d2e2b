"""Which networks may be compared: those that know their parents by the same weights."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Self

from ttq_repro.report.seeds import Found, records_of
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.record import Record
from ttq_repro.runs.workspace import Workspace


class Origin(NamedTuple):
    """A network, the checksum of its weights, and what these come from.

    Attributes:
        parent: identity and checksum of what it started from. machine: what it was trained on.
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
        """What tells it from other networks."""
        return self.identity, self.seed


def mismatched(origins: Iterable[Origin], recorded: Iterable[Origin]) -> list[Origin]:
    """Those that started from other weights than their parent's, each with a warning.

    Args:
        origins: the networks to be compared.
        recorded: all networks, compared or not, so that whoever compares a child names the same
            ones. A parent that is not among them has the weights that the first of its
            children started from.
    """
    known = {origin.key: origin.weights for origin in recorded}
    found = []
    for origin in origins:
        if origin.parent is None:
            continue
        parent, started_from = origin.parent
        if known.setdefault((parent, origin.seed), started_from) != started_from:
            warnings.warn(
                f"{origin.identity} seed {origin.seed} is left out: it started from other weights "
                f"of {parent} than are recorded elsewhere; without its record it trains again"
            )
            found.append(origin)
    return found


def of_one_lineage(found: Sequence[Found], workspace: Workspace) -> list[Found]:
    """The cells without mismatched records: to compare those would compare the parents.

    The parents' own records are read from the workspace, whether or not they are compared.
    """
    parents = {run.identity: run for one in found if (run := one.cell.run.parent)}
    recorded = [record for run in parents.values() for record in records_of(run, workspace)]
    origins = [Origin.of(record) for one in found for record in one.records.values()]
    known = [*map(Origin.of, recorded), *origins]
    apart = {origin.key for origin in mismatched(origins, known)}
    return [
        one._replace(
            records={s: r for s, r in one.records.items() if (r.identity, s) not in apart},
            left_out=tuple(
                (s, place(one.cell, s, workspace))
                for s, record in one.records.items()
                if (record.identity, s) in apart
            ),
        )
        for one in found
    ]


def place(cell: Cell, seed: int, workspace: Workspace) -> str:
    """Where the record of a seed lies, from the workspace's folder on: what is to be deleted."""
    return str(workspace.record(cell.run.with_seed(seed)).relative_to(workspace.root))
