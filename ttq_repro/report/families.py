"""Which networks may be compared: those that know their parents by the same weights."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Self

from ttq_repro.report.seeds import Found
from ttq_repro.runs.record import Record


class Origin(NamedTuple):
    """A network, the checksum of its weights, and identity and checksum of what it started from."""

    identity: str
    seed: int
    weights: str
    parent: tuple[str, str] | None

    @classmethod
    def of(cls, record: Record) -> Self:
        parent = None
        if record.parent is not None:
            parent = record.parent["identity"], record.parent["weights_sha256"]
        return cls(record.identity, record.seed, record.weights_sha256, parent)


def strangers(origins: Iterable[Origin]) -> list[Origin]:
    """Those that started from other weights than their parent's, each with a warning.

    A parent that is not among them has the weights that the first of its children started from.
    """
    origins = list(origins)
    known = {(origin.identity, origin.seed): origin.weights for origin in origins}
    found = []
    for origin in origins:
        if origin.parent is None:
            continue
        parent, started_from = origin.parent
        if known.setdefault((parent, origin.seed), started_from) != started_from:
            warnings.warn(
                f"{origin.identity} seed {origin.seed} is left out: it started from other weights "
                f"of {parent} than those it is compared with; without its record it trains again"
            )
            found.append(origin)
    return found


def of_one_family(found: Sequence[Found]) -> list[Found]:
    """The cells without the records of strangers: to compare those would compare the parents."""
    origins = (Origin.of(record) for _, records in found for record in records.values())
    left_out = {(origin.identity, origin.seed) for origin in strangers(origins)}
    return [
        Found(
            cell,
            {s: record for s, record in records.items() if (record.identity, s) not in left_out},
        )
        for cell, records in found
    ]
