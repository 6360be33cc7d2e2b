"""The claims ledger: what the records and the benchmarks say of each claim of the paper.

Only runs at the ``paper`` budget judge a claim. Where there are none, the estimate from a shorter
budget stands beside the claim and its verdict stays "not run". Runs of different settings (budget
and precision) are never mixed; of several settings, the one with the most seeds counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ttq_repro.paper.rules import Claim, Difference, Error, Level, Measured, Quantity, Trend
from ttq_repro.report.authors_log import LogSummary, read_column, summarize
from ttq_repro.report.benchmarks import look_up
from ttq_repro.report.quantities import measure
from ttq_repro.report.statistics import Estimate, over_seeds, over_seeds_and_images
from ttq_repro.runs.cell import Cell, result_cells
from ttq_repro.runs.config import choices, compose_config
from ttq_repro.runs.record import Record

#: The budget whose runs judge.
JUDGING = "paper"


class Verdict(StrEnum):
    """What became of a claim."""

    REPRODUCED = "reproduced"
    NOT_REPRODUCED = "not reproduced"
    UNDECIDED = "undecided at this n"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Judgement:
    """A claim, its verdict, and what that rests on.

    Attributes:
        ours: our number, None if there is none.
        basis: the setting of its runs, or the benchmark's file.
        commands: what a user types to train what is missing at the paper's budget.
        log: the authors' own number, where their log was given and holds it.
    """

    claim: Claim
    verdict: Verdict
    ours: Estimate | None = None
    basis: str = ""
    commands: tuple[str, ...] = ()
    log: LogSummary | None = None


@dataclass(frozen=True)
class Sum:
    """The weighted sum that a rule asks for, over cells of one setting."""

    quantity: Quantity
    terms: list[tuple[float, Cell]]
    #: Whether test images are paired: in a level, all of ours and the paper's are the same.
    over_images: bool

    @property
    def judges(self) -> bool:
        return self.terms[0][1].budget == JUDGING

    @property
    def setting(self) -> str:
        return self.terms[0][1].setting


class Ledger:
    """Hears of each record once, keeps of it what the claims ask for, and judges."""

    def __init__(self, claims: Sequence[Claim]) -> None:
        self._claims = claims
        self._sums = _sums(claims)
        self._wanted: dict[str, set[Quantity]] = defaultdict(set)
        for one in (one for sums in self._sums.values() for one in sums):
            for _, cell in one.terms:
                self._wanted[cell.run.identity].add(one.quantity)
        self._values: dict[tuple[str, Quantity], dict[int, float]] = defaultdict(dict)
        self._wrong: dict[str, dict[int, NDArray[np.bool_]]] = defaultdict(dict)

    def add(self, record: Record) -> None:
        """Keep what the claims need of a record."""
        for quantity in self._wanted.get(record.identity, ()):
            value = measure(record, quantity)
            if value is not None:
                self._values[record.identity, quantity][record.seed] = value
                if quantity == Error():
                    self._wrong[record.identity][record.seed] = ~record.correct_images()

    def judge(self, benchmarks: Path, authors_log: Path | None) -> list[Judgement]:
        """One judgement a claim, in the order of the claims.

        Args:
            benchmarks: the folder of measurements that need no seeds.
            authors_log: the folder of the authors' released logs, if given.

        Raises:
            UserError: a log is not readable.
        """
        return [self._judge(claim, benchmarks, authors_log) for claim in self._claims]

    def _judge(self, claim: Claim, benchmarks: Path, authors_log: Path | None) -> Judgement:
        log = None
        if claim.log and authors_log:
            log = summarize(read_column(authors_log, claim.log))
        if isinstance(claim.rule, Measured):
            found = look_up(claim.rule, benchmarks)
            if found is None:
                return Judgement(claim, Verdict.NOT_RUN, log=log)
            exact = Estimate(found.value, 0, half_width=0.0)
            return Judgement(claim, verdict(exact, claim.region), exact, found.file, log=log)
        sums = self._sums[claim.id]
        missing = [self._missing(one) for one in sums if one.judges]
        fewest: list[str] = min(missing, key=len, default=[])
        commands = tuple(dict.fromkeys(fewest))
        recorded = [(one, seeds) for one in sums if (seeds := self._seeds(one))]
        if not recorded:
            return Judgement(claim, Verdict.NOT_RUN, commands=commands, log=log)
        best, seeds = max(recorded, key=lambda pair: (pair[0].judges, len(pair[1])))
        estimate = self._estimate(best, seeds)
        decided = verdict(estimate, claim.region) if best.judges else Verdict.NOT_RUN
        return Judgement(
            claim, decided, estimate, best.setting, () if best.judges else commands, log
        )

    def _seeds(self, one: Sum) -> list[int]:
        """The seeds that every network of a sum has."""
        by_network = [self._values[cell.run.identity, one.quantity] for _, cell in one.terms]
        return sorted(set.intersection(*map(set, by_network)))

    def _missing(self, one: Sum) -> list[str]:
        return [
            cell.command
            for _, cell in one.terms
            if not self._values[cell.run.identity, one.quantity]
        ]

    def _estimate(self, one: Sum, seeds: list[int]) -> Estimate:
        terms = [(weight, cell.run.identity) for weight, cell in one.terms]
        if one.over_images:
            per_image = [sum(w * self._wrong[name][seed] for w, name in terms) for seed in seeds]
            return over_seeds_and_images(100.0 * np.stack(per_image))
        values = self._values
        return over_seeds(
            [sum(w * values[name, one.quantity][seed] for w, name in terms) for seed in seeds]
        )


def verdict(estimate: Estimate, region: tuple[float, float]) -> Verdict:
    """Whether the 95% interval lies inside the closed interval ``region``, outside, or neither."""
    if estimate.interval is None:
        return Verdict.UNDECIDED
    (low, high), (lower, upper) = estimate.interval, region
    if lower <= low and high <= upper:
        return Verdict.REPRODUCED
    if high < lower or upper < low:
        return Verdict.NOT_REPRODUCED
    return Verdict.UNDECIDED


def _sums(claims: Sequence[Claim]) -> dict[str, list[Sum]]:
    """By claim, its sum at every setting at which the artifacts have all of its networks."""
    cells: dict[str, list[Cell]] = {}
    found: dict[str, list[Sum]] = {}
    for claim in claims:
        if isinstance(claim.rule, Measured):
            continue
        for _, network in claim.rule.terms:
            if network.artifact not in cells:
                cells[network.artifact] = _cells(network.artifact)
        settings = dict.fromkeys(cell.setting for all_ in cells.values() for cell in all_)
        found[claim.id] = [
            one for setting in settings if (one := _sum_at(setting, claim.rule, cells))
        ]
    return found


def _cells(artifact: str) -> list[Cell]:
    if artifact not in choices("artifact"):
        return []
    return result_cells(compose_config("reproduce", [f"artifact={artifact}"]))


def _sum_at(
    setting: str, rule: Level | Difference | Trend, cells: dict[str, list[Cell]]
) -> Sum | None:
    terms = []
    for weight, network in rule.terms:
        for cell in cells[network.artifact]:
            if cell.setting == setting and network.labels.items() <= cell.labels.items():
                terms.append((weight, cell))
                break
        else:
            return None
    over_images = rule.quantity == Error() and not isinstance(rule, Level)
    return Sum(rule.quantity, terms, over_images)
