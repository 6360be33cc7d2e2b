"""Timing several ways to do the same, side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import median

from scipy.stats import binom

#: Seconds that a turn of one candidate takes at least; less, and the clock itself shows.
TURN = 0.02
#: The fewest whose lowest and highest value lie outside the interval of a median.
LEAST_ROUNDS = 9


@dataclass(frozen=True)
class Interval:
    """A median and its 95% interval, from order statistics.

    It is the interval of what varied while the values were taken, in one session on one machine.
    Fewer than six values have none that covers 95%; theirs is the whole range.
    """

    median: float
    low: float
    high: float

    def __mul__(self, factor: float) -> Interval:
        return Interval(self.median * factor, self.low * factor, self.high * factor)

    @classmethod
    def exactly(cls, value: float) -> Interval:
        return cls(value, value, value)

    @classmethod
    def of(cls, values: list[float]) -> Interval:
        ordered = sorted(values)
        # How many values lie below the true median is binomial. On either side are left out as many
        # as there are there, or fewer, in at most 2.5% of cases.
        outside = max(int(binom.ppf(0.025, len(ordered), 0.5)) - 1, 0)
        return cls(median(ordered), ordered[outside], ordered[-1 - outside])


@dataclass(frozen=True)
class Timings:
    """Seconds of each candidate in each round."""

    seconds: dict[str, list[float]]

    def of(self, name: str) -> Interval:
        return Interval.of(self.seconds[name])

    def ratio(self, name: str, to: str) -> Interval:
        """Of the seconds within each round, in which both ran under the same load."""
        pairs = zip(self.seconds[name], self.seconds[to], strict=True)
        return Interval.of([ours / theirs for ours, theirs in pairs])


def interleaved(
    candidates: Mapping[str, Callable[[], object]],
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> Timings:
    """Time calls of the candidates in turns, in this process, until ``seconds`` are over.

    A turn begins with a call that is not timed, after which caches hold what is this candidate's
    and not the last one's; then it takes the mean of as many calls as fill ``TURN`` seconds.
    """

    def turns(call: Callable[[], object]) -> Callable[[], float]:
        calls = max(1, round(TURN / _turn(call, 1, clock)))
        return partial(_turn, call, calls, clock)

    return in_rounds({name: turns(call) for name, call in candidates.items()}, seconds, clock)


def in_rounds(
    turns: Mapping[str, Callable[[], float]],
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> Timings:
    """What each candidate's turns say that they took, round by round until ``seconds`` are over.

    A round gives each candidate one turn, beginning with another one every time. There are
    ``LEAST_ROUNDS`` rounds at least.
    """
    names = list(turns)
    samples: dict[str, list[float]] = {name: [] for name in names}
    end = clock() + seconds
    done = 0
    while done < LEAST_ROUNDS or clock() < end:
        for name in names[done % len(names) :] + names[: done % len(names)]:
            samples[name].append(turns[name]())
        done += 1
    return Timings(samples)


def _turn(call: Callable[[], object], calls: int, clock: Callable[[], float]) -> float:
    """Seconds of one call, in the mean over ``calls`` after a first one."""
    call()
    start = clock()
    for _ in range(calls):
        call()
    return (clock() - start) / calls
