"""The claims with their verdicts, in words and as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ttq_repro.paper.claims import AREAS, SUBJECTS, WINNING_DEPTHS
from ttq_repro.paper.rules import Claim
from ttq_repro.report.intervals import Estimate
from ttq_repro.report.ledger import Judgement, Verdict
from ttq_repro.table import NOTHING, Table

CAPTION = (
    "The paper's claims, three more against a control of ours, and our verdicts. Ours: the mean "
    "over n seeds of the final epoch, with its 95% interval. A claim is reproduced if the whole "
    "interval lies within the accepted range, not reproduced if all of it lies outside, and "
    "undecided otherwise; a single seed decides nothing. Only runs at the `paper` budget decide. A "
    "number beside a claim that is not run comes from a shorter budget, at which a claim about a "
    "direction may have held or failed. TTQ's schedule in its first epochs was changed twice after "
    "errors at that budget had been seen; the ablations show both, and `ttq_repro/paper/claims.py` "
    "lists this and every change of a rule by date. The intervals are for a number of seeds fixed "
    "in advance; adding seeds until a claim is decided makes them optimistic. Seeds trained on "
    "CPUs and on GPUs are pooled and marked `CPU and GPU`; the equality table shows how far apart "
    "the two are. Seeds whose networks were trained on different machines, or of which only some "
    "saw the images in views other than their parents', do not count beside others and alone "
    "decide nothing."
)
HEADER = [
    "claim", "source", "paper", "rule", "accepted", "ours", "verdict", "released log", "id"
]  # fmt: skip
#: The paper's headline: the claims that TTQ beats full precision.
HEADLINE = (
    "ttq-beats-full-precision-resnet32",
    "ttq-beats-full-precision-resnet44",
    "ttq-beats-full-precision-resnet56",
    "alexnet-ttq-beats-full-precision",
)
#: Ours: what the headline would be if full precision were trained for as long.
CONTROL = tuple(f"ttq-beats-control-resnet{depth}" for depth in WINNING_DEPTHS)
#: The claim about the network that everybody trains first, where TTQ is behind in the paper.
FIRST = "table1-resnet20-difference"


def claims_table(judgements: Sequence[Judgement]) -> Table:
    """One row per claim."""
    rows = [
        [
            judgement.claim.text,
            judgement.claim.source,
            paper_number(judgement.claim),
            str(judgement.claim.rule),
            str(judgement.claim.accept),
            _ours(judgement) if judgement.ours else NOTHING,
            _verdict(judgement),
            judgement.log or NOTHING,
            judgement.claim.id,
        ]
        for judgement in judgements
    ]
    return Table(CAPTION, HEADER, rows)


def subject_table(judgements: Sequence[Judgement]) -> Table:
    """How many claims of each subject have which verdict."""
    by_id = {judgement.claim.id: judgement.verdict for judgement in judgements}
    rows = []
    for subject, claims in SUBJECTS.items():
        counts = Counter(by_id[claim.id] for claim in claims)
        row = (str(counts[verdict] or NOTHING) for verdict in Verdict)
        rows.append([subject, str(len(claims)), *row])
    return Table("", ["subject", "claims", *Verdict], rows)


def summary(judgements: Sequence[Judgement]) -> str:
    """How many claims have which verdict."""
    return f"{len(judgements)} claims: {_counts(judgements)}"


def _counts(judgements: Sequence[Judgement]) -> str:
    """The number of claims by verdict; of zeros only those of the two decisive verdicts."""
    counts = Counter(judgement.verdict for judgement in judgements)
    if len(counts) == 1:
        text = f"all {next(iter(counts))}"
    else:
        decisive = Verdict.REPRODUCED, Verdict.NOT_REPRODUCED
        shown = (v for v in Verdict if counts[v] or v in decisive)
        text = ", ".join(f"{counts[v]} {v}" for v in shown)
    shorter = Counter(word for j in judgements if (word := j.at_shorter_budget))
    if shorter:
        decided = ", ".join(f"{count} {word}" for word, count in sorted(shorter.items()))
        text += f" ({decided} at a shorter budget)"
    return text


def answer(judgements: Sequence[Judgement]) -> str:
    """Whether the paper reproduces: a paragraph of Markdown and a list of counts.

    Areas are counted separately: a small format says nothing about accuracy, and ImageNet runs that
    a reader cannot do should not count as missing on CIFAR-10.
    """
    by_id = {judgement.claim.id: judgement for judgement in judgements}
    text = (
        "**Does TTQ beat full precision? The paper claims so for ResNet-32, 44 and 56 and for "
        "AlexNet-BN. Verdict on these four claims: "
        f"{_counts([by_id[id_] for id_ in HEADLINE])}.** On ResNet-20, TTQ's error minus full "
        f"precision's is {paper_number(by_id[FIRST].claim)} points in the paper; "
        f"{_first(by_id[FIRST])}.\n\n{_shorter([by_id[id_] for id_ in HEADLINE + CONTROL])}"
        f"{_contradicted(judgements)}"
        f"The verdicts on all {len(judgements)} claims:\n\n"
    )
    for area, subjects in AREAS.items():
        some = [by_id[claim.id] for claims in subjects.values() for claim in claims]
        text += f"- {area}, {len(some)} claims: {_counts(some)}\n"
    return text


def _first(judgement: Judgement) -> str:
    """Our result for the claim ``FIRST``, in words."""
    if judgement.ours is None:
        return "ours is not run"
    if judgement.verdict is Verdict.NOT_RUN:
        return f"ours is not run, but a shorter schedule gives {_ours(judgement)}"
    return f"ours is {_ours(judgement)}. Verdict on this claim: {judgement.verdict}"


def _shorter(judgements: Sequence[Judgement]) -> str:
    """What a shorter schedule says about claims, all of differences, that are not run."""
    told = "".join(
        f'- "{one.claim.text}": {_ours(one)}\n'
        for one in judgements
        if one.verdict is Verdict.NOT_RUN and one.ours
    )
    intro = (
        "At shorter schedules, which decide nothing, TTQ's error minus that of the network that "
        "it is compared with is, in points (each claim says that it is negative):"
    )
    return f"{intro}\n\n{told}\n" if told else ""


def _contradicted(judgements: Sequence[Judgement]) -> str:
    """The claims that do not reproduce, with both numbers."""
    told = "".join(
        f'- "{one.claim.text}": {paper_number(one.claim)} in the paper, ours {our_number(one)}\n'
        for one in judgements
        if one.verdict is Verdict.NOT_REPRODUCED
    )
    return f"Not reproduced:\n\n{told}\n" if told else ""


def paper_number(claim: Claim) -> str:
    """The paper's number as the paper prints it."""
    return NOTHING if claim.value is None else _number(claim.value, claim.unit, claim.digits)


def our_number(judgement: Judgement) -> str:
    """Our number and its 95% interval."""
    return NOTHING if judgement.ours is None else _estimate(judgement.ours, judgement.claim.unit)


def basis(judgement: Judgement) -> str:
    """What our number rests on: seeds and setting, or a benchmark.

    If a final epoch among its runs is an outlier, the number from trailing means is added.
    """
    if judgement.ours is None:
        return ""
    seeds = f"n={judgement.ours.count}; " if judgement.ours.count else ""
    text = seeds + judgement.basis
    if judgement.trailing is not None:
        trailing = _number(judgement.trailing, judgement.claim.unit)
        text += (
            "; a final epoch is an outlier; the mean over the last eighth of the epochs gives "
            f"{trailing}"
        )
    return text


def _ours(judgement: Judgement) -> str:
    return f"{our_number(judgement)} ({basis(judgement)})"


def _verdict(judgement: Judgement) -> str:
    shorter = judgement.at_shorter_budget
    return f"{judgement.verdict}; {shorter} at a shorter budget" if shorter else judgement.verdict


def _estimate(estimate: Estimate, unit: str) -> str:
    text = _number(estimate.value, unit)
    if estimate.interval and estimate.interval != (estimate.value, estimate.value):
        low, high = (_number(bound, unit) for bound in estimate.interval)
        text += f" [{low}, {high}]"
    return text


def _number(value: float, unit: str, digits: int = 2) -> str:
    """A number with its unit; a difference has a sign, and its unit is in the claim's text."""
    suffix = unit if unit in ("%", "x") else ""
    sign = "" if suffix or unit == "multiplications" else "+"
    return f"{value:{sign}.{digits}f}{suffix}"
