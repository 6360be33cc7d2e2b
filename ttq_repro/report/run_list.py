"""Where each number comes from: the runs behind the records, by identity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ttq_repro.runs.config import leaves, without
from ttq_repro.runs.record import Record


class RunRow(NamedTuple):
    """One record as a row: its errors, and the code and machine that trained it."""

    seed: int
    final: str
    best: str
    trailing: str
    commit: str
    hardware: str
    torch: str
    minutes: str
    finished: str
    parent: str
    weights: str


@dataclass
class Runs:
    """The records of one identity: one row per seed, and what their configs have in common.

    Options that do not affect a result may differ between seeds.
    """

    identity: str
    dataset: str
    options: list[str]
    trained: list[RunRow] = field(default_factory=list)


class RunList:
    """Reads each record once and keeps what a reader needs to trace its numbers."""

    def __init__(self) -> None:
        self._by_identity: dict[tuple[str, str], Runs] = {}

    def add(self, record: Record) -> None:
        """Keep a record as a row."""
        dataset = record.config["data"]["name"]
        key, row = (dataset, record.identity), _row(record)
        options = [
            f"{path}={value}"
            for path, value in leaves(without(record.config, "seed")).items()
            if value is not None
        ]
        runs = self._by_identity.setdefault(key, Runs(record.identity, dataset, options))
        runs.options = [option for option in runs.options if option in options]
        runs.trained.append(row)

    def __iter__(self) -> Iterator[Runs]:
        return iter(self._by_identity.values())

    def __len__(self) -> int:
        """The number of records."""
        return sum(len(runs.trained) for runs in self)

    def by_dataset(self) -> dict[str, int]:
        """The number of records of each data set."""
        counts: Counter[str] = Counter()
        for runs in self:
            counts[runs.dataset] += len(runs.trained)
        return dict(counts)


def _hardware(stint: dict[str, Any]) -> str:
    device, processor = stint["device"], stint["processor"]
    return processor if device == "cpu" else f"{device}, {processor}"


def _commit(stint: dict[str, Any]) -> str:
    commit = stint.get("commit", "")[:10] or "unknown"
    return f"{commit}, uncommitted changes" if stint.get("dirty") else commit


def _each(told: Callable[[dict[str, Any]], str], record: Record) -> str:
    """What is told of the processes that trained a run, without repetitions."""
    return "; ".join(dict.fromkeys(map(told, record.stints)))


def _row(record: Record) -> RunRow:
    source = record.provenance
    errors = {name: f"{100 * value:.2f}" for name, value in record.test_error.items()}
    if replaced := ", ".join(f"{100 * one['final']:.2f}" for one in source.get("replaces", [])):
        errors["final"] += f", replaces {replaced}"
    # Not the duration of the last process, as a run may have been stopped and resumed.
    minutes = sum(record.metrics["seconds"]) / 60
    return RunRow(
        seed=record.seed,
        final=errors["final"],
        best=errors["best"],
        trailing=errors["trailing"],
        commit=_each(_commit, record),
        hardware=_each(_hardware, record),
        torch=source["versions"]["torch"],
        minutes=f"{minutes:.1f}",
        finished=source["finished"][:10],
        parent=_short(record.parent["weights_sha256"] if record.parent else ""),
        weights=_short(record.weights_sha256),
    )


def _short(digest: str) -> str:
    return digest[:12]
