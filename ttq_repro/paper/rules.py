"""The vocabulary of the claims: what is measured, how runs are combined, what is accepted.

A rule defines which number of ours is compared with the paper's. Rules over runs are weighted sums,
by seed, of one quantity over the networks of an artifact, so that one statistic serves them all
(``ttq_repro/report/statistics.py``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


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
    """Share of a ternary network's kernels (k x k) that are empty or hold a single weight."""

    def __str__(self) -> str:
        return "share of such kernels"


Quantity = (
    Error | TrailingError | GeneralizationGap | ErrorDrop | Density | LayerChange | SparseKernels
)

# How runs are combined. ``terms`` are the weighted networks of the sum.


@dataclass(frozen=True)
class Level:
    """The quantity of one network."""

    network: Network
    quantity: Quantity = Error()

    def __str__(self) -> str:
        return str(self.quantity)

    @property
    def terms(self) -> list[tuple[float, Network]]:
        return [(1.0, self.network)]


@dataclass(frozen=True)
class Difference:
    """The quantity of ``ours`` minus that of ``theirs``, each a mean over its networks."""

    ours: tuple[Network, ...]
    theirs: tuple[Network, ...]
    quantity: Quantity = Error()

    def __str__(self) -> str:
        return f"difference of {self.quantity}, by seed"

    @property
    def terms(self) -> list[tuple[float, Network]]:
        return [(1 / len(self.ours), network) for network in self.ours] + [
            (-1 / len(self.theirs), network) for network in self.theirs
        ]


@dataclass(frozen=True)
class Trend:
    """The change from end to end of the least-squares line through ``(x, Level or Difference)``."""

    points: tuple[tuple[float, Level | Difference], ...]

    def __str__(self) -> str:
        return f"change along the least-squares line of {self.points[0][1]}"

    @property
    def quantity(self) -> Quantity:
        return self.points[0][1].quantity

    @property
    def terms(self) -> list[tuple[float, Network]]:
        xs = [x for x, _ in self.points]
        return [
            (weight * part, network)
            for weight, (_, rule) in zip(trend_weights(xs), self.points, strict=True)
            for part, network in rule.terms
        ]


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


def trend_weights(xs: list[float]) -> list[float]:
    """Weights by which the values at ``xs`` sum to the change along their least-squares line."""
    center = sum(xs) / len(xs)
    spread = sum((x - center) ** 2 for x in xs)
    return [(x - center) / spread * (max(xs) - min(xs)) for x in xs]


# What is accepted as a reproduction, as a closed interval.


@dataclass(frozen=True)
class Within:
    """Within ``margin`` of the paper's value, in its unit."""

    margin: float

    def __str__(self) -> str:
        return f"within ±{self.margin:g}"

    def region(self, value: float | None) -> tuple[float, float]:
        if value is None:
            raise ValueError("a margin needs the paper's value as its center")
        return value - self.margin, value + self.margin


@dataclass(frozen=True)
class Below:
    """Less than a bound, whatever the paper's value."""

    bound: float

    def __str__(self) -> str:
        return f"below {self.bound:g}"

    def region(self, value: float | None) -> tuple[float, float]:
        return -math.inf, math.nextafter(self.bound, -math.inf)


@dataclass(frozen=True)
class Above:
    """More than a bound, whatever the paper's value."""

    bound: float

    def __str__(self) -> str:
        return f"above {self.bound:g}"

    def region(self, value: float | None) -> tuple[float, float]:
        return math.nextafter(self.bound, math.inf), math.inf


@dataclass(frozen=True)
class AtLeast:
    """A bound or more, whatever the paper's value."""

    bound: float

    def __str__(self) -> str:
        return f"at least {self.bound:g}"

    def region(self, value: float | None) -> tuple[float, float]:
        return self.bound, math.inf


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
        value: what the paper reports, None if it gives no number; unit: its unit; digits: how
            many decimals the paper prints.
        rule: which number of ours is compared with it; accept: where that number must lie.
        log: where the authors' released log holds the same number.
        by_construction: whether it follows from the definition of a ternary (or binary) network,
            so that only a mistake of ours could make it fail.
    """

    id: str
    text: str
    source: str
    value: float | None
    unit: str
    rule: Level | Difference | Trend | Measured
    accept: Within | Below | Above | AtLeast
    log: LogColumn | None = None
    digits: int = 2
    by_construction: bool = False

    @property
    def region(self) -> tuple[float, float]:
        """The closed interval in which our number must lie."""
        return self.accept.region(self.value)

    @property
    def of_direction(self) -> bool:
        """Whether it states only a direction; runs of a shorter schedule can then also test it."""
        return isinstance(self.accept, Below | Above) and self.accept.bound == 0
