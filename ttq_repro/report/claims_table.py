"""The claims with their verdicts, as words and as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ttq_repro.paper.claims import AREAS
from ttq_repro.paper.rules import Claim
from ttq_repro.report.ledger import Judgement, Verdict
from ttq_repro.table import Table

CAPTION = (
    "Claims of the paper and what became of them. Ours: the final epoch's, mean over n seeds with "
    "its 95% interval. A claim is reproduced where the whole interval lies within what is "
    "accepted, not reproduced where all of it lies outside, and undecided otherwise; one seed "
    "decides nothing. Only runs at the `paper` budget judge: what stands beside a claim that is "
    "not run comes from a shorter one, at which a claim of a direction may have held or failed. "
    "Seeds count alike whatever trained them; `CPU and GPU` says that both did."
)
HEADER = [
    "claim", "source", "paper", "rule", "accepted", "ours", "verdict", "released log", "id"
]  # fmt: skip
NOTHING = "-"
#: The claim that stands for all the others.
CENTRAL = "table1-resnet20-difference"


def claims_table(judgements: Sequence[Judgement]) -> Table:
    """One row a claim."""
    rows = [
        [
            judgement.claim.text,
            judgement.claim.source,
            paper_number(judgement.claim),
            str(judgement.claim.rule),
            str(judgement.claim.accept),
            f"{our_number(judgement)} ({basis(judgement)})" if judgement.ours else NOTHING,
            _verdict(judgement),
            judgement.log or NOTHING,
            judgement.claim.id,
        ]
        for judgement in judgements
    ]
    return Table(CAPTION, HEADER, rows)


def summary(judgements: Sequence[Judgement]) -> str:
    """How many claims have which verdict."""
    return f"{len(judgements)} claims: {_counts(judgements)}"


def _counts(judgements: Sequence[Judgement]) -> str:
    counts = Counter(judgement.verdict for judgement in judgements)
    text = ", ".join(f"{counts[v]} {v}" for v in Verdict)
    if len(counts) == 1:
        text = f"all {next(iter(counts))}"
    shorter = Counter(word for j in judgements if (word := j.at_shorter_budget))
    if shorter:
        decided = ", ".join(f"{count} {word}" for word, count in sorted(shorter.items()))
        text += f" ({decided} at a shorter budget)"
    return text


def answer(judgements: Sequence[Judgement]) -> str:
    """Whether the paper reproduces, in a few sentences of Markdown.

    Areas are counted apart: that a format is small says nothing of what is learned, and who has no
    ImageNet should not look for it among what is missing on CIFAR-10.
    """
    counted = []
    for area, subjects in AREAS.items():
        ids = {claim.id for claims in subjects.values() for claim in claims}
        some = [judgement for judgement in judgements if judgement.claim.id in ids]
        if some:
            counted.append(f"{len(some)} claims on {area}: {_counts(some)}")
    text = f"**Does it? Of {'; of '.join(counted)}.**"
    (central,) = [j for j in judgements if j.claim.id == CENTRAL]
    text += f" The central one, *{central.claim.text}*, is {central.verdict}"
    if central.ours is not None:
        shorter = "; a shorter schedule gives" if central.verdict is Verdict.NOT_RUN else ":"
        text += f"{shorter} {our_number(central)} points ({basis(central)})"
    if central.trailing is not None:
        text += (
            ". It rests on a final epoch that is an outlier: between the means over the last "
            f"eighth of the epochs the difference is {central.trailing.signed()}"
        )
    return text + ".\n"


def paper_number(claim: Claim) -> str:
    """As the paper prints it."""
    return NOTHING if claim.value is None else _number(claim.value, claim.unit, "g")


def our_number(judgement: Judgement) -> str:
    """Our number and its 95% interval."""
    estimate, unit = judgement.ours, judgement.claim.unit
    if estimate is None:
        return NOTHING
    text = _number(estimate.value, unit, ".2f")
    if estimate.interval and estimate.interval != (estimate.value, estimate.value):
        low, high = (_number(bound, unit, ".2f") for bound in estimate.interval)
        text += f" [{low}, {high}]"
    return text


def basis(judgement: Judgement) -> str:
    """What our number rests on: seeds and setting, or a benchmark."""
    if judgement.ours is None:
        return ""
    seeds = f"n={judgement.ours.count}; " if judgement.ours.count else ""
    return seeds + judgement.basis


def _verdict(judgement: Judgement) -> str:
    shorter = judgement.at_shorter_budget
    return f"{judgement.verdict}; {shorter} at a shorter budget" if shorter else judgement.verdict


def _number(value: float, unit: str, digits: str) -> str:
    """A number with its unit; what is a difference has a sign and its unit in the claim's text."""
    suffix = unit if unit in ("%", "x") else ""
    sign = "" if suffix or unit == "multiplications" else "+"
    return f"{value:{sign}{digits}}{suffix}"
