"""Runs trained several at a time: parents first, and a failure costs no unrelated run."""

from __future__ import annotations

import os
import signal
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.conftest import TINY
from tests.processes import children, script, started, wait_for, wait_for_file
from tests.records import results
from ttq_repro.errors import DataError, TrainingError, UserError
from ttq_repro.runs import jobs as module
from ttq_repro.runs.check import check_run
from ttq_repro.runs.config import Config
from ttq_repro.runs.jobs import train_all
from ttq_repro.runs.run import Run

MakeRun = Callable[..., Run]
PLAN = [
    "artifact=table1", "+only.depth=[20]", "+only.method=[control,ttq]", "budget=smoke",
    "dataset=digits", "jobs=2", f"overrides={[*TINY[2:], 'recipe.epochs=8']}",
]  # fmt: skip
#: Part of the command line with which Python starts the process of a run.
WORKER = "spawn_main"


def test_parents_come_first_and_threads_are_shared(
    tiny_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[tuple[str, int]] = []

    def note(threads: int, run: Run) -> None:
        begun.append((run.quantizer, threads))

    monkeypatch.setattr(module, "_in_a_process", note)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 5)
    child = tiny_run("quantizer=twn", "parent=auto")
    assert child.parent is not None
    assert train_all([child.parent, child, tiny_run("quantizer=ttq")], jobs=2) == {}
    names = [name for name, _ in begun]
    assert sorted(names) == ["full_precision", "ttq", "twn"]
    assert names.index("full_precision") < names.index("twn")
    assert ("twn", 2) in begun


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_failure_costs_a_run_and_its_children(
    jobs: int,
    tiny_run: MakeRun,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tried: list[str] = []

    def train(run: Run) -> None:
        tried.append(run.name)
        if run.quantizer == "full_precision":
            raise TrainingError("diverged")

    monkeypatch.setattr(module, "_in_a_process", lambda _, run: train(run))
    monkeypatch.setattr(module, "execute", lambda run, **_: train(run))
    child, other = tiny_run("quantizer=twn", "parent=auto"), tiny_run("quantizer=ttq")
    assert child.parent is not None
    failed = train_all([child.parent, child, other], jobs)
    assert failed == {child.parent.name: "diverged", child.name: "its parent failed"}
    assert sorted(tried) == sorted([child.parent.name, other.name])
    assert f"failed: {child.name}: its parent failed" in capsys.readouterr().err


def test_a_fault_of_ours_costs_one_run_in_this_process_too(
    tiny_run: MakeRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def train(run: Run, **_: object) -> None:
        if run.quantizer == "twn":
            raise KeyError("forgotten")

    monkeypatch.setattr(module, "execute", train)
    faulty, other = tiny_run("quantizer=twn"), tiny_run("quantizer=ttq")
    assert train_all([faulty, other]) == {faulty.name: "KeyError: 'forgotten'"}
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("error", [TrainingError, KeyError])
def test_a_failed_run_leaves_its_memory_to_the_next(
    error: type[Exception], tiny_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[weakref.ref[torch.Tensor]] = []

    def train(*_: object, **__: object) -> None:
        assert all(kept() is None for kept in held)
        activations = torch.empty(1)
        held.append(weakref.ref(activations))
        raise error("out of memory")

    monkeypatch.setattr(module, "execute", train)
    assert len(train_all([tiny_run("quantizer=twn"), tiny_run("quantizer=ttq")])) == 2
    assert len(held) == 2


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_bad_option_is_named_before_the_first_run(
    jobs: int, tiny_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    """A parent may train for hours before its child is looked at."""
    child = tiny_run("quantizer=ttq", "parent=auto", "quantizer.tie=foo")
    assert child.parent is not None
    with pytest.raises(UserError, match="tie must be one of"):
        train_all([child.parent, child], jobs)
    assert "run 1 of 2" not in capsys.readouterr().out


def test_a_check_that_breaks_costs_one_run(
    tiny_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an optimizer does that cannot be both fused and foreach."""
    trained: list[str] = []
    monkeypatch.setattr(module, "_in_this_process", lambda run: trained.append(run.quantizer))
    both = ["+recipe.optimizer.fused=true", "+recipe.optimizer.foreach=true"]
    odd = tiny_run("quantizer=twn", *both)
    with pytest.raises(RuntimeError, match="fused"):
        check_run(odd)
    assert train_all([odd, tiny_run("quantizer=ttq")]) == {}
    assert trained == ["twn", "ttq"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_would_stop_every_run_stops_the_first(
    jobs: int, tiny_run: MakeRun, tmp_path: Path
) -> None:
    nowhere = tiny_run("data=cifar10", f"data.root={tmp_path / 'nowhere'}")
    with pytest.raises(DataError, match="nowhere"):
        train_all([nowhere, nowhere.with_seed(2)], jobs)


@pytest.mark.slow
def test_a_plan_side_by_side_ends_as_one_by_one(tmp_path: Path) -> None:
    for jobs in (1, 2):
        workspace = tmp_path / str(jobs)
        done = script("reproduce", *PLAN, f"jobs={jobs}", f"workspace={workspace}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("% in the final epoch; record") == 3
    assert "Traceback" not in done.stderr
    assert len(results(tmp_path / "2")) == 3
    assert results(tmp_path / "1") == results(tmp_path / "2")


@pytest.mark.slow
def test_a_lost_process_fails_its_run_alone(tmp_path: Path) -> None:
    with started("reproduce", *PLAN, f"workspace={tmp_path}") as process:
        wait_for_file("records/**/*.json", tmp_path)
        first, _ = wait_for(lambda: _pair(process.pid), "two workers")
        wait_for_file("last.ckpt", tmp_path)
        os.kill(first, signal.SIGKILL)
        _, said = process.communicate()
    assert process.returncode == 1
    assert "error: 1 of 3 runs failed" in said
    assert "its process ended with exit code -9" in said
    again = script("reproduce", *PLAN, f"workspace={tmp_path}", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "1 of 3 runs to train" in again.stdout


@pytest.mark.slow
@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nobody_trains_on_without_the_starter(blow: signal.Signals, tmp_path: Path) -> None:
    with started("reproduce", *PLAN, f"workspace={tmp_path}") as process:
        workers = wait_for(lambda: _pair(process.pid), "two workers")
        wait_for_file("last.ckpt", tmp_path)
        process.send_signal(blow)
        _, said = process.communicate()
    wait_for(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers), "end of all")
    if blow is not signal.SIGKILL:
        assert "the same command resumes from the last complete epoch" in said


def _pair(starter: int) -> list[int] | None:
    found = children(starter, WORKER)
    return found if len(found) == 2 else None


def test_a_process_gets_its_share_of_threads_and_workers(
    tiny_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Run, int]] = []

    def start(_: object, config: Config, threads: int) -> None:
        asked.append((Run(config), threads))

    monkeypatch.setattr(module, "in_new_process", start)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    run = tiny_run("trainer.progress=true", "trainer.workers=4")
    assert train_all([run], jobs=2) == {}
    ((own, threads),) = asked
    assert threads == 2
    assert own.config["trainer"]["workers"] == 2
    assert own.config["trainer"]["progress"] == "lines", "two bars would overwrite each other"
    assert own.name == run.name


def test_a_lost_process_and_an_error_of_its_run_are_told(
    tiny_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: object, config: Config, __: int) -> None:
        if config["quantizer"]["name"] == "twn":
            raise EOFError("process ended with exit code -9")
        raise TrainingError("diverged")

    monkeypatch.setattr(module, "in_new_process", start)
    lost, diverged = tiny_run("quantizer=twn"), tiny_run("quantizer=ttq")
    assert train_all([lost, diverged], jobs=2) == {
        lost.name: "its process ended with exit code -9",
        diverged.name: "diverged",
    }
