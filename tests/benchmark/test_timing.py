"""Candidates take turns, and what comes out is a median with an interval."""

from __future__ import annotations

import pytest

from ttq_repro.benchmark.timing import LEAST_ROUNDS, TURN, Interval, Timings, interleaved


class Clock:
    """A clock that only moves while a candidate computes."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []

    def __call__(self) -> float:
        return self.now

    def candidate(self, name: str, seconds: float) -> object:
        def call() -> None:
            self.now += seconds
            self.calls.append(name)

        return call


def test_candidates_take_turns_after_a_call_that_does_not_count() -> None:
    clock = Clock()
    candidates = {
        "slow": clock.candidate("slow", 2 * TURN),
        "fast": clock.candidate("fast", TURN / 4),
    }
    timings = interleaved(candidates, seconds=0, clock=clock)
    assert timings.seconds["slow"] == pytest.approx([2 * TURN] * LEAST_ROUNDS)
    assert timings.seconds["fast"] == pytest.approx([TURN / 4] * LEAST_ROUNDS)
    counting, rounds = clock.calls[:4], clock.calls[4:]
    assert counting == ["slow", "slow", "fast", "fast"]
    slow, fast = ["slow"] * 2, ["fast"] * 5
    assert rounds[:14] == slow + fast + fast + slow


def test_rounds_go_on_until_the_time_is_over() -> None:
    clock = Clock()
    timings = interleaved({"only": clock.candidate("only", TURN)}, seconds=100 * TURN, clock=clock)
    assert len(timings.seconds["only"]) == 50


def test_ratios_are_taken_round_by_round() -> None:
    """In a round that is slow for both, the ratio is what it always is."""
    timings = Timings({"ours": [1, 2, 1, 9, 1, 1, 1, 1, 1], "theirs": [2, 4, 2, 18, 2, 2, 2, 2, 2]})
    assert timings.ratio("ours", "theirs") == Interval(0.5, 0.5, 0.5)
    assert timings.of("ours").median == 1


def test_the_interval_is_that_of_order_statistics() -> None:
    """Ranks 40 to 61 of 100 cover a median with 95% (Conover 1999, table of the binomial)."""
    assert Interval.of([float(value) for value in range(1, 101)]) == Interval(50.5, 41, 60)
    assert Interval.of([3.0, 1.0, 2.0]) == Interval(2, 1, 3)
