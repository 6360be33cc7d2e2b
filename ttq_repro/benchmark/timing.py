"""Timing several ways to do the same, side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import sqrt
from statistics import median

#: Seconds that a turn of one candidate takes at least; less, and the clock itself shows.
TURN = 0.02
#: With fewer, the interval of a median would be the whole range.
LEAST_ROUNDS = 9


@dataclass(frozen=True)
class Interval:
    """A median and its 95% interval, from order statistics."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Interval:
        ordered = sorted(values)
        # Ranks of a binomial with p = 1/2, which the median's rank follows, as a normal.
        outside = max(int(len(ordered) / 2 - 0.98 * sqrt(len(ordered))), 0)
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
    """Time the candidates in turns, in this process, until ``seconds`` are over.

    A round gives each candidate one turn, beginning with another one every time. A turn begins with
    a call that is not timed, after which caches hold what is this candidate's and not the last
    one's; then it takes the mean of as many calls as fill ``TURN`` seconds. There are
    ``LEAST_ROUNDS`` rounds at least, and one before them that only counts calls.
    """
    names = list(candidates)
    calls = {name: max(1, round(TURN / _turn(candidates[name], 1, clock))) for name in names}
    samples: dict[str, list[float]] = {name: [] for name in names}
    end = clock() + seconds
    done = 0
    while done < LEAST_ROUNDS or clock() < end:
        for name in names[done % len(names) :] + names[: done % len(names)]:
            samples[name].append(_turn(candidates[name], calls[name], clock))
        done += 1
    return Timings(samples)


def _turn(call: Callable[[], object], calls: int, clock: Callable[[], float]) -> float:
    """Seconds of one call, in the mean over ``calls`` after a first one."""
    call()
    start = clock()
    for _ in range(calls):
        call()
    return (clock() - start) / calls
