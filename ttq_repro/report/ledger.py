"""The claims ledger: what the records and the benchmarks say about each claim of the paper.

Only runs at the ``paper`` budget judge a claim. If there are none, the estimate from a shorter
budget is shown with the claim, but its verdict stays "not run"; a claim about a direction may be
reported to have held or failed there. Runs of different settings (budget, precision, number of
processes) are never mixed; of several settings, the one with the most seeds counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ttq_repro.paper.rules import (
    Accepted,
    Claim,
    Error,
    Measured,
    Quantity,
    TrailingError,
    WeightedSum,
)
from ttq_repro.report.benchmarks import look_up
from ttq_repro.report.caveats import outlier
from ttq_repro.report.lineage import Origin, Weights, mismatched, record_path, weights_of
from ttq_repro.report.quantities import measure
from ttq_repro.report.released_log import number_in_log
from ttq_repro.report.seeds import same_images, with_machines
from ttq_repro.report.statistics import Estimate, over_seeds, over_seeds_and_images
from ttq_repro.runs.cell import Cell, commands, result_cells
from ttq_repro.runs.config import choices, compose_config
from ttq_repro.runs.record import Record
from ttq_repro.runs.workspace import Workspace

#: The budget whose runs judge claims.
JUDGING = "paper"
#: How many more seeds to suggest for an undecided claim.
MORE_SEEDS = 2


class Verdict(StrEnum):
    """The outcome of a claim."""

    REPRODUCED = "reproduced"
    BY_CONSTRUCTION = "true by construction"
    NOT_REPRODUCED = "not reproduced"
    UNDECIDED = "undecided at this n"
    NOT_RUN = "not run"


#: The words for a claim about a direction at a shorter budget.
AT_SHORTER = {Verdict.REPRODUCED: "held", Verdict.NOT_REPRODUCED: "failed"}


@dataclass(frozen=True)
class Judgement:
    """A claim, its verdict, and the evidence.

    Attributes:
        ours: our number, None if there is none.
        basis: the setting of its runs and, if several, their kinds of machine; or the benchmark's
            file.
        commands: shell commands for the runs at the paper's budget that would decide it.
        log: what the authors' released log says, None if no log was given or it says nothing.
        trailing: the same number from trailing means, if one of the final epochs behind ``ours``
            is an outlier. It has no interval, as records hold these means but not which images
            they were wrong on.
    """

    claim: Claim
    verdict: Verdict
    ours: Estimate | None = None
    basis: str = ""
    commands: tuple[str, ...] = ()
    log: str | None = None
    trailing: float | None = None

    @property
    def at_shorter_budget(self) -> str | None:
        """``held`` or ``failed`` if, for lack of others, runs of a shorter budget decide it."""
        if self.verdict is not Verdict.NOT_RUN or self.ours is None or not self.claim.of_direction:
            return None
        return AT_SHORTER.get(verdict(self.ours, self.claim.accept))


@dataclass(frozen=True)
class Sum:
    """The weighted sum that a rule asks for, over cells of one setting."""

    quantity: Quantity
    terms: list[tuple[float, Cell]]
    #: Whether the interval covers the choice of test images, paired across networks. Not for a
    #: level, as our test images are the paper's.
    over_images: bool

    @property
    def judges(self) -> bool:
        return self.terms[0][1].budget == JUDGING

    @property
    def setting(self) -> str:
        return self.terms[0][1].setting


class Ledger:
    """Reads each record once, keeps what the claims need, and judges the claims."""

    def __init__(self, claims: Sequence[Claim], workspace: Workspace) -> None:
        self._claims = claims
        self._workspace = workspace
        self._sums = _sums(claims, workspace)
        self._wanted: dict[str, set[Quantity]] = defaultdict(set)
        for one in (one for sums in self._sums.values() for one in sums):
            for _, cell in one.terms:
                self._wanted[cell.run.identity] |= {one.quantity, TrailingError()}
        self._values: dict[tuple[str, Quantity], dict[int, float]] = defaultdict(dict)
        self._wrong: dict[str, dict[int, NDArray[np.bool_]]] = defaultdict(dict)
        self._origins: dict[tuple[str, int], Origin] = {}
        self._outliers: set[tuple[str, int]] = set()
        self._weights: Weights = {}

    def add(self, record: Record) -> None:
        """Keep what the claims need from a record."""
        origin = Origin.of(record)
        self._origins[origin.key] = origin
        if outlier(record):
            self._outliers.add(origin.key)
        for quantity in self._wanted.get(record.identity, ()):
            value = measure(record, quantity)
            if value is not None:
                self._values[record.identity, quantity][record.seed] = value
                if quantity == Error():
                    self._wrong[record.identity][record.seed] = ~record.correct_images()

    def judge(self, benchmarks: Path, authors_log: Path | None) -> list[Judgement]:
        """One judgement per claim, in the order of the claims.

        Args:
            benchmarks: the folder of measurements that need no seeds.
            authors_log: the folder of the authors' released logs, if given.

        Raises:
            UserError: a log cannot be read.
        """
        self._weights = weights_of(self._origins.values())
        return [self._judge(claim, benchmarks, authors_log) for claim in self._claims]

    def _judge(self, claim: Claim, benchmarks: Path, authors_log: Path | None) -> Judgement:
        log = number_in_log(claim, authors_log) if authors_log else None
        if isinstance(claim.rule, Measured):
            found = look_up(claim.rule, benchmarks)
            if found is None:
                return Judgement(claim, Verdict.NOT_RUN, log=log)
            ours = Estimate(found.value, 0, found.interval)
            decided = verdict(ours, claim.accept)
            if claim.by_construction and decided is Verdict.REPRODUCED:
                decided = Verdict.BY_CONSTRUCTION
            return Judgement(claim, decided, ours, found.file, log=log)
        sums = self._sums[claim.id]
        judging = [one for one in sums if one.judges]
        nearest = min(judging, key=lambda one: len(self._lacking(one)), default=None)
        commands = self._missing(nearest) if nearest else ()
        recorded = [(one, seeds) for one in sums if (seeds := self._seeds(one))]
        if not recorded:
            return Judgement(claim, Verdict.NOT_RUN, commands=commands, log=log)
        best, seeds = max(recorded, key=lambda pair: (pair[0].judges, len(pair[1])))
        estimate = self._estimate(best, seeds)
        decided = verdict(estimate, claim.accept) if best.judges else Verdict.NOT_RUN
        if decided is Verdict.UNDECIDED:
            commands = _commands(best, range(len(best.terms)), max(seeds) + MORE_SEEDS)
            commands = self._removals(best) + commands
        elif best.judges:
            commands = ()
        trailing, rests_on = self._trailing(best, seeds), self._basis(best, seeds)
        return Judgement(claim, decided, estimate, rests_on, commands, log, trailing)

    def _trailing(self, one: Sum, seeds: list[int]) -> float | None:
        if one.quantity != Error() or self._outliers.isdisjoint(_networks(one, seeds)):
            return None
        return self._estimate(Sum(TrailingError(), one.terms, over_images=False), seeds).value

    def _basis(self, one: Sum, seeds: list[int]) -> str:
        kinds = (self._origins[key].machine for key in _networks(one, seeds))
        return with_machines(one.setting, kinds)

    def _seeds(self, one: Sum) -> list[int]:
        """The seeds that every network of a sum has and that may be compared."""
        common = set.intersection(*self._seeds_by_network(one))
        common -= {origin.seed for origin in self._mismatched(one)}
        names = dict.fromkeys(cell.run.identity for _, cell in one.terms)
        return [
            seed
            for seed in sorted(common)
            if not one.over_images
            or same_images({f"{name} seed {seed}": len(self._wrong[name][seed]) for name in names})
        ]

    def _mismatched(self, one: Sum) -> list[Origin]:
        """The networks of a sum that did not start from the weights of their recorded parents.

        A single network is compared only with the paper, so its parent does not matter.
        """
        if len({cell.run.identity for _, cell in one.terms}) == 1:
            return []
        networks = zip(one.terms, self._seeds_by_network(one), strict=True)
        keys = [(cell.run.identity, s) for (_, cell), seeds in networks for s in sorted(seeds)]
        return mismatched([self._origins[key] for key in dict.fromkeys(keys)], self._weights)

    def _seeds_by_network(self, one: Sum) -> list[set[int]]:
        return [set(self._values[cell.run.identity, one.quantity]) for _, cell in one.terms]

    def _lacking(self, one: Sum) -> list[int]:
        """The terms whose network lacks a seed that another has, or must be trained again."""
        by_network = self._seeds_by_network(one)
        seeds = set.union(*by_network)
        apart = {origin.identity for origin in self._mismatched(one)}
        return [
            term
            for term, (found, (_, cell)) in enumerate(zip(by_network, one.terms, strict=True))
            if not found or found < seeds or cell.run.identity in apart
        ]

    def _missing(self, one: Sum) -> tuple[str, ...]:
        """The commands, removals included, that train the missing networks."""
        seeds = set.union(*self._seeds_by_network(one))
        commands = _commands(one, self._lacking(one), max(seeds, default=1))
        return self._removals(one) + commands

    def _removals(self, one: Sum) -> tuple[str, ...]:
        """The commands that delete mismatched records, to train again from current parents."""
        cells = {cell.run.identity: cell for _, cell in one.terms}
        return tuple(
            f"rm {record_path(cells[origin.identity], origin.seed, self._workspace)}"
            for origin in self._mismatched(one)
        )

    def _estimate(self, one: Sum, seeds: list[int]) -> Estimate:
        terms = [(weight, cell.run.identity) for weight, cell in one.terms]
        if one.over_images:
            per_image = [sum(w * self._wrong[name][seed] for w, name in terms) for seed in seeds]
            return over_seeds_and_images(100.0 * np.stack(per_image))
        values = self._values
        return over_seeds(
            [sum(w * values[name, one.quantity][seed] for w, name in terms) for seed in seeds]
        )


def _networks(one: Sum, seeds: list[int]) -> list[tuple[str, int]]:
    """The networks of a sum as pairs of identity and seed."""
    return [(cell.run.identity, seed) for _, cell in one.terms for seed in seeds]


def _commands(one: Sum, terms: Iterable[int], seeds: int) -> tuple[str, ...]:
    """The commands that train terms of a sum up to ``seeds``."""
    return tuple(commands((one.terms[term][1] for term in terms), seeds))


def verdict(estimate: Estimate, accepted: Accepted) -> Verdict:
    """Whether the 95% interval is inside the accepted one, outside, or neither."""
    if estimate.interval is None:
        return Verdict.UNDECIDED
    low, high = estimate.interval
    if accepted.low <= low and high <= accepted.high:
        return Verdict.REPRODUCED
    if high < accepted.low or accepted.high < low:
        return Verdict.NOT_REPRODUCED
    return Verdict.UNDECIDED


def _sums(claims: Sequence[Claim], workspace: Workspace) -> dict[str, list[Sum]]:
    """For each claim, its sum at every setting at which the artifacts have all its networks."""
    cells: dict[str, list[Cell]] = {}
    found: dict[str, list[Sum]] = {}
    for claim in claims:
        if isinstance(claim.rule, Measured):
            continue
        for _, network in claim.rule.terms:
            if network.artifact not in cells:
                cells[network.artifact] = _cells(network.artifact, workspace)
        settings = dict.fromkeys(cell.setting for all_ in cells.values() for cell in all_)
        found[claim.id] = [
            one for setting in settings if (one := _sum_at(setting, claim.rule, cells))
        ]
    return found


def _cells(artifact: str, workspace: Workspace) -> list[Cell]:
    if artifact not in choices("artifact"):
        return []
    request = compose_config("reproduce", [f"artifact={artifact}"])
    return result_cells(request | {"workspace": str(workspace.root)})


def _sum_at(setting: str, rule: WeightedSum, cells: dict[str, list[Cell]]) -> Sum | None:
    terms = []
    for weight, network in rule.terms:
        for cell in cells[network.artifact]:
            if cell.setting == setting and network.labels.items() <= cell.labels.items():
                terms.append((weight, cell))
                break
        else:
            return None
    over_images = rule.quantity == Error() and not rule.is_level
    return Sum(rule.quantity, terms, over_images)
