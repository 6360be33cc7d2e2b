"""Whole runs by two processes on digits: records, kill and resume, a plan, bad input."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.conftest import TINY
from tests.processes import children, script, started, wait_for_file
from tests.records import results, resumptions
from ttq_repro.errors import TrainingError, UserError
from ttq_repro.runs.execute import execute
from ttq_repro.runs.run import Run
from ttq_repro.runs.workspace import Workspace

MakeRun = Callable[..., Run]
TWO = ["trainer.devices=2", "quantizer=ttq", "recipe.schedule.max_lr=0.02"]


def test_a_run_by_two_processes_leaves_one_record(
    tiny_run: MakeRun, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tiny_run(*TWO, "recipe.epochs=1", "recipe.batch_size=480", "logger.csv=true")
    record = execute(run)
    said, complained = capfd.readouterr()
    assert said.count("1 epoch on digits") == said.count("test error") == 1
    assert "Traceback" not in complained
    assert Workspace.of(run.config).record(run) == next(tmp_path.rglob("records/**/*.json"))
    assert record.provenance["processes"] == record.config["trainer"]["devices"] == 2
    assert record.test_images == 360
    assert 1 - record.correct_images().mean() == pytest.approx(record.test_error["final"], abs=1e-5)
    assert len(record.layers) == 7
    (csv,) = tmp_path.rglob("metrics.csv")
    assert len(csv.read_text().splitlines()) == 2
    assert not list(tmp_path.rglob("*.ckpt"))
    assert {entry.name for entry in csv.parents[2].iterdir()} == {"csv", "lock"}


def test_the_number_of_processes_tells_runs_apart(tiny_run: MakeRun) -> None:
    one, two, four = (tiny_run(f"trainer.devices={count}").identity for count in (1, 2, 4))
    assert len({one, two, four}) == 3


@pytest.mark.parametrize("devices", ["0", "-1", "1.5"])
def test_a_number_of_processes_that_is_none_is_refused(devices: str, tiny_run: MakeRun) -> None:
    with pytest.raises(
        UserError, match=rf"^trainer\.devices={devices}: must be a whole number from 1"
    ):
        tiny_run(f"trainer.devices={devices}")


def test_more_processes_than_the_batch_can_feed(tiny_run: MakeRun) -> None:
    said = r"^trainer\.devices=5: recipe\.batch_size=9 leaves fewer than 2 images per process$"
    with pytest.raises(UserError, match=said):
        execute(tiny_run("trainer.devices=5", "recipe.batch_size=9"))
    with pytest.raises(UserError, match=said):  # Before its parent is trained.
        execute(tiny_run("trainer.devices=5", "recipe.batch_size=9", "parent=auto"))


def test_more_gpus_than_there_are(tiny_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match=r"^trainer\.devices=2: this machine has only 1 GPU$"):
        execute(tiny_run("trainer.devices=2", "trainer.accelerator=auto"))


@pytest.mark.slow
def test_a_killed_run_of_two_processes_goes_on_bit_for_bit(tmp_path: Path) -> None:
    arguments = [*TINY, *TWO, "recipe.epochs=6"]
    undisturbed = script("train", *arguments, f"workspace={tmp_path / 'a'}", cwd=tmp_path)
    assert undisturbed.returncode == 0, undisturbed.stderr
    assert undisturbed.stdout.count("test error") == 1
    assert "Traceback" not in undisturbed.stderr
    arguments.append(f"workspace={tmp_path / 'b'}")
    with started("train", *arguments) as process:
        wait_for_file("last.ckpt", tmp_path / "b")
        process.kill()
    assert not list(tmp_path.joinpath("b").rglob("records/**/*.json"))
    resumed = script("train", *arguments, cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert "resuming from its checkpoint" in resumed.stdout
    assert resumptions(tmp_path / "b") == 1
    assert results(tmp_path / "b") == results(tmp_path / "a")


@pytest.mark.slow
def test_a_lost_process_fails_one_run_of_a_plan(tmp_path: Path) -> None:
    arguments = [
        "+only.depth=[20]", "+only.method=[full_precision,ttq]", "budget=smoke", "dataset=digits",
        f"overrides={TINY[2:]}", "devices=2", f"workspace={tmp_path}",
    ]  # fmt: skip
    with started("reproduce", *arguments) as process:
        wait_for_file("last.ckpt", tmp_path)
        os.kill(children(process.pid, "spawn_main")[-1], signal.SIGKILL)
        _, said = process.communicate()
    assert process.returncode == 1
    assert "was ended by SIGKILL; 2 processes trained the run together" in said
    assert "Traceback" not in said
    again = script("reproduce", *arguments, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "resuming from its checkpoint" in again.stdout
    assert resumptions(tmp_path) == 1
    assert len(results(tmp_path)) == 3


@pytest.mark.slow
def test_what_one_process_finds_wrong_is_one_line(tiny_run: MakeRun) -> None:
    run = tiny_run(*TWO, "recipe.epochs=1", "quantizer.init=-0.5", "trainer.degenerate=stop")
    with pytest.raises(TrainingError, match=r"^epoch 1: blocks\.0\.conv1: positive_scale is -"):
        execute(run)
    assert not Workspace.of(run.config).record(run).exists()
