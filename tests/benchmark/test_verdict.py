"""Whether a measurement meets its target, and which processors the target is for."""

from __future__ import annotations

import pytest

from ttq_repro.benchmark import verdict as module
from ttq_repro.benchmark.timing import Interval
from ttq_repro.benchmark.verdict import verdict


@pytest.mark.parametrize(
    ("value", "bound", "told"),
    [
        (3.0, {"at_least": 3}, ">= 3: met"),
        (2.9, {"at_least": 3}, ">= 3: not met"),
        (1.05, {"at_most": 1.05}, "<= 1.05: met"),
        (1.06, {"at_most": 1.05}, "<= 1.05: not met"),
        (float("nan"), {"at_most": 1.05}, "<= 1.05: not met"),
    ],
)
def test_a_bound_is_met_or_not(value: float, bound: dict[str, float], told: str) -> None:
    assert verdict(Interval.exactly(value), **bound) == told


@pytest.mark.parametrize(
    ("low", "high", "told"), [(0.9, 1.05, "met"), (1.0, 1.1, "undecided"), (1.06, 1.1, "not met")]
)
def test_all_of_an_interval_is_judged(low: float, high: float, told: str) -> None:
    assert verdict(Interval(1.0, low, high), at_most=1.05) == f"<= 1.05: {told}"


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"avx512f"}, "<= 65: met"),
        ({"avx512f", "amx_bf16"}, "<= 65 without amx_bf16: not for this CPU"),
        ({"avx2"}, "<= 65 with avx512f: not for this CPU"),
    ],
)
def test_the_condition_that_a_processor_fails_is_named(
    flags: set[str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "cpu_flags", lambda: flags)
    assert verdict(Interval.exactly(60), at_most=65, needs="avx512f", lacks="amx_bf16") == told
