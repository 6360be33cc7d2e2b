"""Timing several ways to do the same, side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import median

from scipy.stats import quantile_test

#: Seconds that a turn of one candidate takes at least; less, and the clock itself shows.
TURN = 0.02
#: The fewest whose lowest and highest value lie outside the interval of a median.
LEAST_ROUNDS = 9


@dataclass(frozen=True)
class Interval:
    """A median and its 95% interval, from order statistics.

    It is the interval of what varied while the values were taken, in one session on one machine.
    Fewer than six values have none that covers 95%; theirs is NaN.
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
        interval = quantile_test(values, p=0.5).confidence_interval(0.95)
        return cls(median(values), float(interval.low), float(interval.high))


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


def interleaved(candidates: Mapping[str, Callable[[], object]], seconds: float) -> Timings:
    """Time calls of the candidates in turns, in this process, until ``seconds`` are over.

    A turn begins with a call that is not timed, after which caches hold what is this candidate's
    and not the last one's; then it takes the mean of as many calls as fill ``TURN`` seconds.
    """

    def turns(call: Callable[[], object]) -> Callable[[], float]:
        calls = max(1, round(TURN / _turn(call, 1)))
        return partial(_turn, call, calls)

    return in_rounds({name: turns(call) for name, call in candidates.items()}, seconds)


def in_rounds(turns: Mapping[str, Callable[[], float]], seconds: float) -> Timings:
    """What each candidate's turns say that they took, round by round until ``seconds`` are over.

    A round gives each candidate one turn, beginning with another one every time. There are
    ``LEAST_ROUNDS`` rounds at least.
    """
    names = list(turns)
    samples: dict[str, list[float]] = {name: [] for name in names}
    end = time.perf_counter() + seconds
    done = 0
    while done < LEAST_ROUNDS or time.perf_counter() < end:
        for name in names[done % len(names) :] + names[: done % len(names)]:
            samples[name].append(turns[name]())
        done += 1
    return Timings(samples)


def _turn(call: Callable[[], object], calls: int) -> float:
    """Seconds of one call, in the mean over ``calls`` after a first one."""
    call()
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls
