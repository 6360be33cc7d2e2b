"""Which networks may be compared: those that started from their parents' recorded weights."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Self

from ttq_repro.report.seeds import Found, records_of
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.record import Record
from ttq_repro.runs.workspace import Workspace


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


def mismatched(origins: Iterable[Origin], recorded: Iterable[Origin]) -> list[Origin]:
    """The networks that did not start from their parent's weights; warns of each.

    Args:
        origins: the networks to be compared.
        recorded: all networks, compared or not, so that every comparison finds the same
            mismatches. A parent missing here is taken to have the weights that its first child
            started from.
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
    """The cells without mismatched records; comparing those would compare their parents.

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
    """The path of a seed's record, relative to the workspace, to be deleted by the user."""
    return str(workspace.record(cell.run.with_seed(seed)).relative_to(workspace.root))
