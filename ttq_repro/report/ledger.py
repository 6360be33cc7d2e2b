"""The claims ledger: what the records and the benchmarks say about each claim of the paper.

Only runs at the ``paper`` budget judge a claim. If there are none, the estimate from a shorter
budget is shown with the claim, but its verdict stays "not run"; a claim about a direction may be
reported to have held or failed there. Runs of different settings (budget, precision, number of
processes) are never mixed; of several settings, the one with the most seeds counts. Seeds whose
networks differ in more than what is compared, such as their machines, do not count beside others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain
from pathlib import Path

from ttq_repro.paper.rules import Accepted, Claim, Measured, Quantity, TrailingError, WeightedSum
from ttq_repro.report.benchmarks import Measurement, look_up
from ttq_repro.report.compare import Outcome, weights_of
from ttq_repro.report.evidence import Evidence, cells_by_setting
from ttq_repro.report.intervals import Estimate
from ttq_repro.report.released_log import number_in_log
from ttq_repro.runs.record import Record
from ttq_repro.runs.workspace import Workspace

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
        basis: see :attr:`Evidence.basis`; or the benchmark's file.
        commands: shell commands for the runs at the paper's budget that would decide it.
        log: what the authors' released log says, None if no log was given or it says nothing.
        trailing: the same number from trailing means, if one of the final epochs behind ``ours``
            is an outlier. It has no interval, as records hold these means but not which images
            they were wrong on.
        is_confounded: see :attr:`Evidence.is_confounded`; such evidence decides nothing.
    """

    claim: Claim
    verdict: Verdict
    ours: Estimate | None = None
    basis: str = ""
    commands: tuple[str, ...] = ()
    log: str | None = None
    trailing: float | None = None
    is_confounded: bool = False

    @property
    def at_shorter_budget(self) -> str | None:
        """``held`` or ``failed`` if, for lack of others, runs of a shorter budget decide it."""
        if self.verdict is not Verdict.NOT_RUN or self.ours is None or self.is_confounded:
            return None
        if not self.claim.of_direction:
            return None
        return AT_SHORTER.get(verdict(self.ours, self.claim.accept))


class Ledger:
    """Reads each record once, keeps what the claims need, and judges the claims."""

    def __init__(self, claims: Sequence[Claim], workspace: Workspace) -> None:
        self._claims = claims
        self._cells = cells_by_setting(claims, workspace)
        self._wanted: dict[str, set[Quantity]] = defaultdict(set)
        for claim in claims:
            if isinstance(claim.rule, WeightedSum):
                for cell in chain.from_iterable(self._cells[claim.id]):
                    self._wanted[cell.run.identity] |= {claim.rule.quantity, TrailingError()}
        self._known: dict[str, dict[int, Outcome]] = defaultdict(dict)

    def add(self, record: Record) -> None:
        """Keep what the claims need from a record."""
        wanted = self._wanted.get(record.identity, ())
        self._known[record.identity][record.seed] = Outcome.of(record, wanted)

    def judge(self, benchmarks: Path, authors_log: Path | None) -> list[Judgement]:
        """One judgement per claim, in the order of the claims.

        Args:
            benchmarks: the folder of measurements that need no seeds.
            authors_log: the folder of the authors' released logs, if given.

        Raises:
            UserError: a log cannot be read.
        """
        weights = weights_of(one for by_seed in self._known.values() for one in by_seed.values())
        judgements = []
        for claim in self._claims:
            log = number_in_log(claim, authors_log) if authors_log else None
            if isinstance(claim.rule, Measured):
                judgement = _of_measurement(claim, look_up(claim.rule, benchmarks))
            else:
                evidence = [
                    Evidence.of(claim.rule, cells, self._known, weights)
                    for cells in self._cells[claim.id]
                ]
                judgement = _of_runs(claim, evidence)
            judgements.append(replace(judgement, log=log))
        return judgements


def _of_measurement(claim: Claim, found: Measurement | None) -> Judgement:
    if found is None:
        return Judgement(claim, Verdict.NOT_RUN)
    ours = Estimate(found.value, 0, found.interval)
    decided = verdict(ours, claim.accept)
    if claim.by_construction and decided is Verdict.REPRODUCED:
        decided = Verdict.BY_CONSTRUCTION
    return Judgement(claim, decided, ours, found.file)


def _of_runs(claim: Claim, evidence: Sequence[Evidence]) -> Judgement:
    """Judge a claim by the evidence at each setting."""
    judging = [one for one in evidence if one.judges]
    commands: tuple[str, ...] = ()
    if judging:
        nearest = min(judging, key=lambda one: len(one.lacking))
        seeds = max(nearest.recorded, default=1)
        commands = nearest.to_train(nearest.lacking, seeds)
    recorded = [one for one in evidence if one.seeds]
    if not recorded:
        return Judgement(claim, Verdict.NOT_RUN, commands=commands)
    best = max(recorded, key=lambda one: (one.judges, not one.is_confounded, len(one.seeds)))
    ours, decided = best.estimate(), Verdict.NOT_RUN
    if best.judges:
        decided, commands = verdict(ours, claim.accept), ()
        if best.is_confounded:
            decided = Verdict.UNDECIDED
    if decided is Verdict.UNDECIDED:
        seeds = max(best.seeds) + MORE_SEEDS
        commands = best.to_train(best.cells, seeds)
    return Judgement(
        claim, decided, ours, best.basis, commands,
        trailing=best.trailing(), is_confounded=best.is_confounded,
    )  # fmt: skip


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
