"""Candidates take turns, and the result is a median with an interval."""

from __future__ import annotations

import math

import pytest

from ttq_repro.benchmark.timing import LEAST_ROUNDS, TURN, Interval, Timings, in_rounds, interleaved


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


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("time.perf_counter", made)
    return made


def test_candidates_take_turns_after_a_call_that_does_not_count(clock: Clock) -> None:
    candidates = {
        "slow": clock.candidate("slow", 2 * TURN),
        "fast": clock.candidate("fast", TURN / 4),
    }
    timings = interleaved(candidates, seconds=0)
    assert timings.seconds["slow"] == pytest.approx([2 * TURN] * LEAST_ROUNDS)
    assert timings.seconds["fast"] == pytest.approx([TURN / 4] * LEAST_ROUNDS)
    counting, rounds = clock.calls[:4], clock.calls[4:]
    assert counting == ["slow", "slow", "fast", "fast"]
    slow, fast = ["slow"] * 2, ["fast"] * 5
    assert rounds[:14] == slow + fast + fast + slow


def test_rounds_go_on_until_the_time_is_over(clock: Clock) -> None:
    timings = interleaved({"only": clock.candidate("only", TURN)}, seconds=100 * TURN)
    assert len(timings.seconds["only"]) == 50


def test_ratios_are_taken_round_by_round() -> None:
    """A round that is slow for both candidates has the same ratio as any other."""
    timings = Timings({"ours": [1, 2, 1, 9, 1, 1, 1, 1, 1], "theirs": [2, 4, 2, 18, 2, 2, 2, 2, 2]})
    assert timings.ratio("ours", "theirs") == Interval(0.5, 0.5, 0.5)
    assert timings.of("ours").median == 1


def test_turns_may_say_themselves_what_they_took() -> None:
    """Epochs do, because not all of their time counts alike."""
    told = iter([3.0, 1.0, 2.0] * LEAST_ROUNDS)
    timings = in_rounds({"epochs": lambda: next(told)}, seconds=0)
    assert timings.seconds["epochs"] == [3.0, 1.0, 2.0] * (LEAST_ROUNDS // 3)


@pytest.mark.parametrize(
    ("count", "low", "high"), [(100, 40, 61), (50, 18, 33), (20, 6, 15), (9, 2, 8), (8, 1, 8)]
)
def test_the_interval_is_that_of_order_statistics(count: int, low: int, high: int) -> None:
    values = [float(value) for value in range(count, 0, -1)]
    interval = Interval.of(values)
    assert (interval.low, interval.high) == (low, high)
    # The probability that the true median lies between two ranks is that of as many heads in
    # `count` coin tosses. With ranks one further in on either side it is too small.
    assert sum(math.comb(count, heads) for heads in range(low, high)) / 2**count >= 0.95
    assert sum(math.comb(count, heads) for heads in range(low + 1, high - 1)) / 2**count < 0.95


def test_the_median_lies_in_the_middle() -> None:
    assert Interval.of([float(value) for value in range(1, 101)]).median == 50.5


def test_five_values_have_no_interval() -> None:
    interval = Interval.of([3.0, 1.0, 2.0, 5.0, 4.0])
    assert interval.median == 3
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


def test_the_fewest_rounds_give_more_than_their_range() -> None:
    """With one round less, the interval is the whole range and says little."""
    for count, is_range in ((LEAST_ROUNDS, False), (LEAST_ROUNDS - 1, True)):
        values = [float(value) for value in range(count)]
        interval = Interval.of(values)
        assert ((interval.low, interval.high) == (values[0], values[-1])) is is_range
