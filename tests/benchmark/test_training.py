"""Loops that are compared take real steps, end when told to, and do not hide an error."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from ttq_repro.benchmark.images import random_images
from ttq_repro.benchmark.loops import Loop, bare, fitted, yardstick
from ttq_repro.benchmark.naming import benchmark_name
from ttq_repro.benchmark.scale import cost_of_a_step
from ttq_repro.benchmark.start_up import seconds_to_first_step
from ttq_repro.benchmark.training import measure
from ttq_repro.data.pipeline import ArraySource
from ttq_repro.errors import UserError
from ttq_repro.runs.config import Config, compose_config

SMALL = [
    "model.depth=8",
    "recipe.batch_size=16",
    "trainer.compile=false",
    "trainer.accelerator=cpu",
    "trainer.precision=fp32",
]


@pytest.fixture(autouse=True)
def few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ttq_repro.benchmark.images.IMAGES", 40)


def config(*overrides: str) -> Config:
    return compose_config("train", [*SMALL, "trainer.progress=false", *overrides])


def source() -> ArraySource:
    return ArraySource(random_images(), pad=4, flip=True)


def take(loop: Loop, turns: int = 4) -> None:
    """More than an epoch."""
    for _ in range(turns):
        next(loop)
    loop.close()  # type: ignore[attr-defined]


def test_each_loop_goes_on_past_an_epoch(tmp_path: Path) -> None:
    before = threading.active_count()
    take(yardstick(config(), random_images(), workers=0, steps=1))
    take(bare(config("quantizer=ttq"), source(), steps=1))
    take(fitted(config("quantizer=ttq"), source(), tmp_path, steps=1))
    assert threading.active_count() == before, "the run's thread has ended"


def test_what_stops_a_run_stops_its_loop(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="precision=fp8"):
        next(fitted(config("trainer.precision=fp8"), source(), tmp_path, steps=1))


def test_a_run_too_short_to_be_measured_is_named(tmp_path: Path) -> None:
    loop = fitted(config("recipe.epochs=1"), source(), tmp_path, steps=1)
    with pytest.raises(RuntimeError, match="ended before its measurement"):
        take(loop)


def test_the_tables_hold_targets_and_verdicts() -> None:
    request = compose_config(
        "benchmark",
        ["parts=[training,quantizer_cost]", "seconds=0", "cost_models=[resnet20]", "threads=1"],
    )
    tables = measure(request | {"overrides": SMALL})
    assert [name.split("_")[0] for name in tables] == ["training", "quantizer"]
    training, cost = tables.values()
    assert training.rows[0][2] == "1.00 (1.00 to 1.00)"
    assert "<= 1.05: " in training.rows[2][4]
    assert cost.rows[0][4] in ("<= 1.05: met", "<= 1.05: not met")


def test_photographs_are_prepared_loaded_and_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ttq_repro.benchmark.photographs.DISTINCT", 4)
    monkeypatch.setattr("ttq_repro.benchmark.photographs.NAMES", 6)
    request = compose_config("benchmark", ["parts=[photographs]", "seconds=0", "threads=1"])
    overrides = ["model=resnet20", "data.crop=32", "trainer.workers=0", *SMALL]
    overrides += ["recipe.batch_size=2"]
    (table,) = measure(request | {"overrides": overrides}).values()
    speeds = {row[0].partition(",")[0]: float(row[1].replace(",", "")) for row in table.rows}
    assert speeds.keys() == {"preparing", "loading", "step"}
    assert min(speeds.values()) > 0


def test_a_name_says_what_on_which_hardware_and_when() -> None:
    assert benchmark_name("training", "A CPU (2.5 GHz), 2 cores").startswith(
        "training_a-cpu-2-5-ghz-2-cores_20"
    )


@pytest.mark.slow
def test_larger_batches_take_more_memory() -> None:
    small, large = (
        cost_of_a_step(config("quantizer=ttq", f"recipe.batch_size={size}")) for size in (32, 512)
    )
    assert 0 < 2 * small.megabytes < large.megabytes
    assert 0 < small.seconds < large.seconds


@pytest.mark.slow
def test_the_first_step_of_a_new_process(tmp_path: Path) -> None:
    assert 1 < seconds_to_first_step(config(), tmp_path) < 300
