"""The vocabulary of the claims: what is measured, how runs are combined, what is accepted.

A rule defines which number of ours is compared with the paper's. Rules over runs are weighted sums,
by seed, of one quantity over the networks of an artifact, so that one statistic serves them all
(``ttq_repro/report/intervals.py``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Network:
    """The cell of an artifact (``configs/artifact``) that has these labels."""

    artifact: str
    labels: dict[str, Any]


# Quantities of one run. Shares and errors are in percent, by default of the final epoch.


@dataclass(frozen=True)
class Error:
    """Top-``top`` error on ``split`` (``test`` or ``train``)."""

    split: str = "test"
    top: int = 1

    def __str__(self) -> str:
        return f"{self.split} error" if self.top == 1 else f"top-{self.top} {self.split} error"


@dataclass(frozen=True)
class TrailingError:
    """Mean test error over the last eighth of the epochs.

    It judges no claim, but is shown with one if a run behind it ends in an outlying epoch.
    """

    def __str__(self) -> str:
        return "trailing mean of the test error"


@dataclass(frozen=True)
class GeneralizationGap:
    """Test error minus training error."""

    def __str__(self) -> str:
        return "test minus training error"


@dataclass(frozen=True)
class ErrorDrop:
    """Mean test error of the ``window`` epochs after ``epoch``, minus that of as many up to it."""

    epoch: int
    window: int = 4

    def __str__(self) -> str:
        return f"test error, mean of {self.window} epochs after {self.epoch} minus those up to it"


@dataclass(frozen=True)
class Density:
    """Share of weights that are not zero, over several layers; float layers count as full.

    Attributes:
        layers: their indices, from 0, among the network's convolutions and linear layers.
        at_start: whether to measure before training instead of after it.
    """

    layers: tuple[int, ...]
    at_start: bool = False

    def __str__(self) -> str:
        return "share of weights that are not zero"


@dataclass(frozen=True)
class LayerChange:
    """A statistic of a quantized layer in the last epoch, minus that in the first.

    Attributes:
        layer: ``first``, ``last convolution`` or ``last linear``, among quantized layers.
        of: ``positive_scale``, ``negative_scale`` or ``zero`` (the share of zeros).
    """

    layer: str
    of: str

    def __str__(self) -> str:
        return "last epoch minus first"


@dataclass(frozen=True)
class SparseKernels:
    """Share of networks with kernels (k x k) that are empty or hold a single weight: 0 or 100."""

    def __str__(self) -> str:
        return "share of networks that have such kernels"


Quantity = (
    Error | TrailingError | GeneralizationGap | ErrorDrop | Density | LayerChange | SparseKernels
)

# How runs are combined.


@dataclass(frozen=True)
class WeightedSum:
    """A sum, by seed, of one quantity over weighted networks.

    Attributes:
        text: what it is, in words.
    """

    text: str
    quantity: Quantity
    terms: tuple[tuple[float, Network], ...]

    def __str__(self) -> str:
        return self.text

    @property
    def is_level(self) -> bool:
        """Whether it is the quantity of a single network."""
        return len(self.terms) == 1


def level(network: Network, quantity: Quantity = Error()) -> WeightedSum:
    """The quantity of one network."""
    return WeightedSum(str(quantity), quantity, ((1.0, network),))


def difference(
    ours: Sequence[Network], theirs: Sequence[Network], quantity: Quantity = Error()
) -> WeightedSum:
    """The quantity of ``ours`` minus that of ``theirs``, each a mean over its networks."""
    added = [(1 / len(ours), network) for network in ours]
    subtracted = [(-1 / len(theirs), network) for network in theirs]
    text = f"difference of {quantity}, by seed"
    return WeightedSum(text, quantity, (*added, *subtracted))


def trend(points: Sequence[tuple[float, WeightedSum]]) -> WeightedSum:
    """The change from end to end of the least-squares line through points (x, sum)."""
    xs = [x for x, _ in points]
    center = sum(xs) / len(xs)
    spread = sum((x - center) ** 2 for x in xs)
    terms = tuple(
        ((x - center) / spread * (max(xs) - min(xs)) * weight, network)
        for x, one in points
        for weight, network in one.terms
    )
    _, first = points[0]
    return WeightedSum(f"change along the least-squares line of {first}", first.quantity, terms)


@dataclass(frozen=True)
class Measured:
    """A number that needs no seeds: one column of one row of a benchmark's CSV.

    Attributes:
        benchmark: start of the file's name in ``results/benchmarks``; the latest date counts.
        where: values in other columns that identify the row.
        interval: the column with the 95% interval, ``LOW to HIGH``; None for an exact number.
    """

    benchmark: str
    where: dict[str, str]
    column: str
    interval: str | None = None

    def __str__(self) -> str:
        return f"measured by the benchmark {self.benchmark}"


# What is accepted as a reproduction.


class Accepted(NamedTuple):
    """A closed interval in which our number must lie, and how it is described."""

    text: str
    low: float = -math.inf
    high: float = math.inf

    def __str__(self) -> str:
        return self.text


def within(margin: float, of: float) -> Accepted:
    """Within ``margin`` of a value, in its unit."""
    return Accepted(f"within ±{margin:g}", of - margin, of + margin)


def below(bound: float) -> Accepted:
    """Less than a bound."""
    return Accepted(f"below {bound:g}", high=math.nextafter(bound, -math.inf))


def above(bound: float) -> Accepted:
    """More than a bound."""
    return Accepted(f"above {bound:g}", low=math.nextafter(bound, math.inf))


def at_least(bound: float) -> Accepted:
    """A bound or more."""
    return Accepted(f"at least {bound:g}", low=bound)


@dataclass(frozen=True)
class LogColumn:
    """A column of one of the authors' released logs, one value per epoch; errors are fractions."""

    file: str
    column: str


@dataclass(frozen=True)
class Claim:
    """One checkable statement.

    Attributes:
        id: unique and stable.
        text: the statement.
        source: table, figure or section of the paper.
        rule: which number of ours is compared with the paper's; accept: where it must lie.
        unit: the unit of both; value: what the paper reports, None if it gives no number;
            digits: how many decimals the paper prints.
        by_construction: whether it follows from the definition of a ternary (or binary) network,
            so that only a mistake of ours could make it fail.
    """

    id: str
    text: str
    _: KW_ONLY
    source: str
    rule: WeightedSum | Measured
    accept: Accepted
    unit: str
    value: float | None = None
    digits: int = 2
    by_construction: bool = False

    @property
    def of_direction(self) -> bool:
        """Whether it states only a direction; runs of a shorter schedule can then also test it."""
        return self.accept in (below(0), above(0))
