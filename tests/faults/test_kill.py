"""SIGKILL at any moment of a plan: the same call resumes it, with the same results."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from tests.faults.conftest import Count, Tally, plan_of_three
from tests.faults.processes import carry_out
from tests.processes import wait_for_file
from tests.records import results, resumptions
from ttq_repro.runs.config import Config

Undisturbed = Callable[[str], Path]


def finish(server: ForkServerContext, request: Config, output: Path) -> None:
    process = server.Process(target=carry_out, args=(request, output))
    process.start()
    process.join()
    assert process.exitcode == 0, output.read_text()


@pytest.fixture(scope="module")
def undisturbed(
    forkserver: ForkServerContext, tmp_path_factory: pytest.TempPathFactory
) -> Undisturbed:
    """``undisturbed(precision)``: the workspace of a plan that nothing disturbed."""

    @cache
    def workspace(precision: str) -> Path:
        folder = tmp_path_factory.mktemp(precision)
        request = plan_of_three(folder / "workspace", f"trainer.precision={precision}")
        finish(forkserver, request, folder / "output")
        return folder / "workspace"

    return workspace


def kill_often(
    server: ForkServerContext,
    undisturbed: Undisturbed,
    folder: Path,
    kills: int,
    strike: Callable[[ForkServerContext, Config, Path], bool],
    precision: str = "fp32",
) -> int:
    """Strike at plans ``kills`` times, starting a new plan when one ends; return what survived."""
    expected = results(undisturbed(precision))
    assert len(expected) == 3
    done, plan, struck = 0, 0, 0
    survived = 0
    output = folder / "output"
    while done < kills:
        workspace = folder / f"plan{plan}"
        request = plan_of_three(workspace, f"trainer.precision={precision}")
        while done < kills and strike(server, request, output):
            done += 1
            struck += 1
        finish(server, request, output)
        whole = results(workspace) == expected and not list(workspace.rglob("*.tmp"))
        survived += struck if whole else 0
        plan, struck = plan + 1, 0
    return survived


def milestones(workspace: Path) -> set[tuple[Path, int]]:
    """The resume checkpoints and records of a workspace, with the times when they were written."""
    found = set()
    for path in [*workspace.rglob("last.ckpt"), *workspace.rglob("records/**/*.json")]:
        with suppress(FileNotFoundError):  # A run that ends removes its checkpoint.
            found.add((path, path.stat().st_mtime_ns))
    return found


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_at_a_random_moment(
    precision: str,
    forkserver: ForkServerContext,
    undisturbed: Undisturbed,
    tmp_path: Path,
    chance: random.Random,
    count: Count,
    tally: Tally,
) -> None:
    kills = {"fp32": count(7, 200), "bf16": count(0, 20)}[precision]
    if not kills:
        pytest.skip("bf16 is emulated on some CPUs: part of make soak")

    def strike(server: ForkServerContext, request: Config, output: Path) -> bool:
        workspace = Path(request["workspace"])
        before = milestones(workspace)
        process = server.Process(target=carry_out, args=(request, output))
        process.start()
        # Mostly after progress, as no earlier time is sure to leave anything to go on from.
        if chance.random() < 0.8:
            while process.is_alive() and milestones(workspace) <= before:
                time.sleep(0.01)
        process.join(chance.uniform(0, 0.4))
        alive = process.is_alive()
        process.kill()
        process.join()
        return alive

    survived = kill_often(forkserver, undisturbed, tmp_path, kills, strike, precision)
    tally(f"SIGKILL at a random moment, {precision}", kills, survived)
    assert survived == kills


def test_right_after_a_checkpoint(
    forkserver: ForkServerContext, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    workspace, output = tmp_path / "workspace", tmp_path / "output"
    request = plan_of_three(workspace)
    # Slow writes leave time to kill before the run ends and removes its checkpoint.
    writing = forkserver.Event()
    process = forkserver.Process(target=carry_out, args=(request, output, writing))
    process.start()
    wait_for_file("last.ckpt", workspace)
    process.kill()
    process.join()
    finish(forkserver, request, output)
    assert output.read_text().count("resuming from its checkpoint") == 1
    assert resumptions(workspace) == 1
    assert results(workspace) == results(undisturbed("fp32"))


def test_while_a_file_is_being_written(
    forkserver: ForkServerContext,
    undisturbed: Undisturbed,
    tmp_path: Path,
    chance: random.Random,
    count: Count,
    tally: Tally,
) -> None:
    kills = count(2, 20)

    def strike(server: ForkServerContext, request: Config, output: Path) -> bool:
        writing = server.Event()
        process = server.Process(target=carry_out, args=(request, output, writing))
        process.start()
        # Let some writes pass, so that the kills spread over checkpoints, weights and records.
        for _ in range(chance.randint(1, 4)):
            while process.is_alive() and not writing.wait(0.05):
                pass
            writing.clear()
        alive = process.is_alive()
        process.kill()
        process.join()
        return alive

    survived = kill_often(forkserver, undisturbed, tmp_path, kills, strike)
    tally("SIGKILL while a file is being written", kills, survived)
    assert survived == kills


def test_while_a_table_is_being_drawn(
    forkserver: ForkServerContext, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    workspace, output = tmp_path / "workspace", tmp_path / "output"
    shutil.copytree(undisturbed("fp32"), workspace)
    request = plan_of_three(workspace)
    (table,) = workspace.rglob("table1.md")
    drawn = table.read_text()
    table.unlink()
    writing = forkserver.Event()
    process = forkserver.Process(target=carry_out, args=(request, output, writing))
    process.start()
    assert writing.wait(60)
    process.kill()
    process.join()
    assert list(workspace.rglob(".table1.md.*.tmp"))
    finish(forkserver, request, output)
    assert table.read_text() == drawn
    assert not list(workspace.rglob("*.tmp"))


def test_two_processes_share_one_plan(forkserver: ForkServerContext, tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    request = plan_of_three(workspace)
    outputs = [tmp_path / "first", tmp_path / "second"]
    processes = [forkserver.Process(target=carry_out, args=(request, path)) for path in outputs]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    lines = [line for path in outputs for line in path.read_text().splitlines()]
    records = results(workspace)
    for identity in records:
        trained = [line for line in lines if line.startswith(identity) and "epochs on" in line]
        assert len(trained) == 1, trained
    assert len(records) == 3
    assert not list(workspace.rglob("*.tmp"))
    table = (workspace / "outputs/tables/table1.csv").read_text()
    assert len(table.splitlines()) == 2
