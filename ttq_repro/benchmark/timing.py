"""Timing several ways to do the same thing, side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

from scipy.stats import quantile_test

#: The shortest turn of a candidate in seconds; in shorter ones, reading the clock would matter.
TURN = 0.02
#: The fewest rounds with which the interval of a median excludes the lowest and highest value.
LEAST_ROUNDS = 9


@dataclass(frozen=True)
class Interval:
    """A median and its 95% interval, from order statistics.

    The interval covers only what varied while the values were taken, in one session on one machine.
    With fewer than six values no interval covers 95%, and its ends are NaN.
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
        """The ratio of seconds, taken within each round, as both then ran under the same load."""
        pairs = zip(self.seconds[name], self.seconds[to], strict=True)
        return Interval.of([ours / theirs for ours, theirs in pairs])

    def fastest(self, names: Sequence[str]) -> str:
        """The fastest candidate of ``names``, compared round by round."""
        return min(names, key=lambda name: self.ratio(name, names[0]).median)


def interleaved(candidates: Mapping[str, Callable[[], object]], seconds: float) -> Timings:
    """Time calls of the candidates in turns, in this process, until ``seconds`` are over.

    A turn begins with an untimed call, which replaces the previous candidate's data in the caches.
    The result of the turn is the mean time of as many calls as fill ``TURN`` seconds.
    """

    def turns(call: Callable[[], object]) -> Callable[[], float]:
        calls = max(1, round(TURN / _turn(call, 1)))
        return partial(_turn, call, calls)

    return in_rounds({name: turns(call) for name, call in candidates.items()}, seconds)


def in_rounds(turns: Mapping[str, Callable[[], float]], seconds: float) -> Timings:
    """Collect the seconds that candidates' turns return, in rounds until ``seconds`` are over.

    Each round gives every candidate one turn, and each begins with a different candidate. There are
    at least ``LEAST_ROUNDS`` rounds.
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
    """Mean seconds of ``calls`` calls, after an untimed one."""
    call()
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls
