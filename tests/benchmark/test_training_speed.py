"""The loops that are compared take real steps, stop when told to, and hide no errors."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ttq_repro.benchmark import loops, scale, training_speed, verdict
from ttq_repro.benchmark.images import random_source
from ttq_repro.benchmark.loops import Loop, bare, fitted, yardstick
from ttq_repro.benchmark.scale import cost_of_a_step
from ttq_repro.benchmark.start_up import seconds_to_first_step
from ttq_repro.benchmark.timing import LEAST_ROUNDS, Timings
from ttq_repro.benchmark.training_speed import measure
from ttq_repro.data.array_source import ArraySource
from ttq_repro.errors import UserError
from ttq_repro.runs.config import Config, compose_config
from ttq_repro.training.history import History

BATCH = 16
SMALL = [
    "model.depth=8",
    f"recipe.batch_size={BATCH}",
    "trainer.compile=false",
    "trainer.accelerator=cpu",
    "trainer.precision=fp32",
]


@pytest.fixture(autouse=True)
def short_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    for steps in ("STEPS", "BARE_STEPS"):
        monkeypatch.setattr(training_speed, steps, {"cpu": 3, "cuda": 3})


def config(*overrides: str) -> Config:
    return compose_config("train", [*SMALL, "trainer.progress=lines", *overrides])


def source() -> ArraySource:
    return random_source(config(), steps=3)


def table_request(*overrides: str) -> Config:
    request = compose_config("benchmark", ["seconds=0", "threads=1", "accelerator=cpu", *overrides])
    return request | {"overrides": SMALL}


def take(loop: Loop, turns: int = 3) -> list[float]:
    with closing(loop):
        return [next(loop) for _ in range(turns)]


@pytest.mark.parametrize("loop", [yardstick, bare])
def test_what_ours_are_compared_with_trains(
    loop: Callable[..., Loop], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[nn.Module] = []
    build = loops.build_network

    def kept(*arguments: Any) -> nn.Module:
        made.append(build(*arguments))
        return made[-1]

    monkeypatch.setattr(loops, "build_network", kept)
    monkeypatch.setattr("ttq_repro.training.network.build_network", kept)
    data = source()
    if loop is yardstick:
        take(yardstick(config(), data.arrays, workers=0), 1)
    else:
        take(bare(config(), data), 1)
    (network,) = made
    initial = build(config(), None)
    for (name, trained), before in zip(
        network.named_parameters(), initial.parameters(), strict=True
    ):
        assert not torch.equal(trained, before), name


def test_each_loop_goes_on_past_an_epoch(tmp_path: Path) -> None:
    before = threading.active_count()
    for loop in (
        yardstick(config(), source().arrays, workers=0),
        bare(config("quantizer=ttq"), source()),
        fitted(config("quantizer=ttq"), source(), tmp_path),
    ):
        assert min(take(loop)) > 0
    assert threading.active_count() == before, "the run's thread has ended"


def test_what_stops_a_run_stops_its_loop(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="precision=fp8"):
        next(fitted(config("trainer.precision=fp8"), source(), tmp_path))


def test_a_run_too_short_to_be_measured_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="ended before its measurement"):
        take(fitted(config("recipe.epochs=1"), source(), tmp_path))


@pytest.mark.parametrize("of_an_epoch", [3, 30])
def test_what_a_run_does_between_epochs_counts_as_in_a_whole_one(
    of_an_epoch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0

    class Slow(History):
        def on_train_batch_end(self, *hook: Any) -> None:
            nonlocal now
            super().on_train_batch_end(*hook)
            now += 0.5

        def on_train_epoch_end(self, *hook: Any) -> None:
            nonlocal now
            super().on_train_epoch_end(*hook)
            now += 12

    monkeypatch.setattr("ttq_repro.training.fit.History", Slow)
    clock = SimpleNamespace(perf_counter=lambda: now)
    monkeypatch.setattr("ttq_repro.benchmark.loops.time", clock)
    monkeypatch.setattr("ttq_repro.benchmark.loops.EPOCH", of_an_epoch * BATCH)
    measured = take(fitted(config(), source(), tmp_path))
    assert measured == [0.5 + 12 / of_an_epoch] * 3


def test_a_run_logs_as_users_have_it(tmp_path: Path) -> None:
    take(fitted(config(), source(), tmp_path))
    assert "train_loss" in (tmp_path / "csv" / "version_0" / "metrics.csv").read_text()
    assert "epoch 1 of 164, test error" in (tmp_path / "said.txt").read_text()


def test_the_tables_hold_targets_and_verdicts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdict, "cpu_flags", lambda: {"avx2"})
    tables = dict(measure(table_request("parts=[training,quantizer_cost]")))
    assert [name.split("_")[0] for name in tables] == ["training", "quantizer"]
    training, cost = tables.values()
    rows = [dict(zip(training.header, row, strict=True)) for row in training.rows]
    networks, loops = ([row[column] for row in rows] for column in ("network", "loop"))
    assert networks == ["resnet20"] * 5 + ["resnet56"] * 2
    assert [loop.rpartition(", ")[2] for loop in loops[:3]] == [f"{n} workers" for n in range(3)]
    assert loops[3:5] == loops[5:]
    over_yardstick = [row["times as fast as the yardstick"] for row in rows]
    assert "1.000 (1.000 to 1.000)" in over_yardstick[:3]
    assert over_yardstick[5:] == ["-", "-"]
    for row in rows:
        images = float(row["images/s"].replace(",", "")) * float(row["s/epoch"])
        assert images == pytest.approx(50_000, rel=0.02)
    first, second = rows[4]["targets"].split("; ", 1)
    assert first == "faster >= 3 with amx_bf16: not for this CPU"
    over_step, epoch = second.split("; ")
    assert re.fullmatch(r"time over our step alone <= 1.05: (met|not met|undecided)", over_step)
    assert epoch == "s/epoch <= 0.5: no GPU here"
    assert rows[6]["targets"].endswith("; s/epoch <= 1.5: no GPU here")
    for row in cost.rows:
        assert row[4].removeprefix("<= 1.05: ") in ("met", "not met", "undecided")
    for table in (training, cost):
        assert "Epochs of 3 steps" in table.caption
        assert "covers one session only" in table.caption
        assert "Batch 16; ours not compiled. " in table.caption
        assert "Not the usual runs: model.depth=8, " in table.caption


def test_a_gpu_is_judged_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a target of its own; the yardstick's applies whatever instructions the CPU has."""
    monkeypatch.setattr(verdict, "cpu_flags", lambda: {"avx2"})
    monkeypatch.setattr(training_speed, "device_of", lambda _: torch.device("cuda"))
    seconds = {"slow": 0.03, "bare": 0.0018, "fitted": 0.0019}
    timings = Timings({name: [one] * LEAST_ROUNDS for name, one in seconds.items()})
    trained = compose_config("train", ["model=resnet20", "data=cifar10", "recipe=paper"])
    assert training_speed._verdicts(compose_config("benchmark", []), trained, timings, "slow") == (
        "faster >= 3: met; time over our step alone <= 1.05: not met; s/epoch <= 0.5: not met"
    )


def test_a_driver_that_torch_cannot_use_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("ttq_repro.runs.hardware.GPU_PATHS", ("/dev/null",))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    request = table_request("parts=[quantizer_cost]", "models=[resnet20]")
    assert len(list(measure(request | {"accelerator": "auto"}))) == 1


def test_a_part_that_fails_costs_none_that_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([30.0, 5.0, 31.0, 6.0])
    monkeypatch.setattr(training_speed, "seconds_to_first_step", lambda *_: next(seconds))
    found = measure(table_request("parts=[start_up,start_up]") | {"overrides": SMALL})
    name, table = next(found)
    assert name.startswith("start_up_")
    assert table.rows == [["full_precision", "30", "5"], ["ttq", "31", "6"]]
    with pytest.raises(RuntimeError):
        next(found)


def test_files_are_named_after_the_device_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda *_: "A GPU")
    monkeypatch.setattr(training_speed, "processor", lambda: "A CPU")
    monkeypatch.setattr(training_speed, "scale_table", lambda _: None)
    for accelerator, name in (("cpu", "scale_a-cpu_"), ("auto", "scale_a-gpu_")):
        ((named, _),) = measure(table_request("parts=[scale]", f"accelerator={accelerator}"))
        assert named.startswith(name)


def test_photographs_are_prepared_loaded_and_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ttq_repro.benchmark.photographs.DISTINCT", 4)
    monkeypatch.setattr("ttq_repro.benchmark.photographs.NAMES", 6)
    overrides = ["model=resnet20", "data.crop=32", "trainer.workers=0", *SMALL]
    overrides += ["recipe.batch_size=2"]
    ((_, table),) = measure(table_request("parts=[photographs]") | {"overrides": overrides})
    speeds = {row[0].partition(",")[0]: float(row[1].replace(",", "")) for row in table.rows}
    assert speeds.keys() == {"preparing", "loading", "step"}
    assert min(speeds.values()) > 0


def test_memory_is_that_of_a_step_alone() -> None:
    """It excludes what this process holds for something else, or once held."""
    once = np.ones(2**26)  # 512 MB
    del once
    assert scale._steps(config("quantizer=ttq"), 1).megabytes < 256


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
