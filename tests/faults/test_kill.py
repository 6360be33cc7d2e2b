"""SIGKILL at any moment of a plan: the same call resumes it, with the same results."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from tests.faults.conftest import Count, Tally
from tests.faults.processes import carry_out
from tests.records import results
from ttq_repro.runs.config import Config

MakeRequest = Callable[..., Config]


def finish(server: ForkServerContext, request: Config, output: Path) -> None:
    process = server.Process(target=carry_out, args=(request, output))
    process.start()
    process.join()
    assert process.exitcode == 0, output.read_text()


def kill_often(
    server: ForkServerContext,
    make_request: MakeRequest,
    output: Path,
    kills: int,
    overrides: list[str],
    strike: Callable[[ForkServerContext, Config], bool],
) -> int:
    """Strike at plans ``kills`` times, starting a new plan when one ends; return what survived."""
    finish(server, make_request("undisturbed", *overrides), output)
    expected = results(Path(make_request("undisturbed")["workspace"]))
    assert len(expected) == 3
    done, plan, struck = 0, 0, 0
    survived = 0
    while done < kills:
        request = make_request(f"plan{plan}", *overrides)
        while done < kills and strike(server, request):
            done += 1
            struck += 1
        finish(server, request, output)
        workspace = Path(request["workspace"])
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
    plan_request: MakeRequest,
    tmp_path: Path,
    chance: random.Random,
    count: Count,
    tally: Tally,
) -> None:
    kills = {"fp32": count(7, 200), "bf16": count(0, 20)}[precision]
    if not kills:
        pytest.skip("bf16 is emulated on some CPUs: part of make soak")

    output = tmp_path / "output"

    def strike(server: ForkServerContext, request: Config) -> bool:
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

    survived = kill_often(
        forkserver,
        plan_request,
        output,
        kills,
        [f"trainer.precision={precision}"],
        strike,
    )
    tally(f"SIGKILL at a random moment, {precision}", kills, survived)
    assert survived == kills
    assert "resuming from its checkpoint" in output.read_text()


def test_while_a_file_is_being_written(
    forkserver: ForkServerContext,
    plan_request: MakeRequest,
    tmp_path: Path,
    chance: random.Random,
    count: Count,
    tally: Tally,
) -> None:
    kills = count(2, 20)

    def strike(server: ForkServerContext, request: Config) -> bool:
        writing = server.Event()
        process = server.Process(target=carry_out, args=(request, tmp_path / "output", writing))
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

    survived = kill_often(forkserver, plan_request, tmp_path / "output", kills, [], strike)
    tally("SIGKILL while a file is being written", kills, survived)
    assert survived == kills


def test_while_a_table_is_being_drawn(
    forkserver: ForkServerContext, plan_request: MakeRequest, tmp_path: Path
) -> None:
    request, output = plan_request(), tmp_path / "output"
    finish(forkserver, request, output)
    workspace = Path(request["workspace"])
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


def test_two_processes_share_one_plan(
    forkserver: ForkServerContext, plan_request: MakeRequest, tmp_path: Path
) -> None:
    request = plan_request()
    outputs = [tmp_path / "first", tmp_path / "second"]
    processes = [forkserver.Process(target=carry_out, args=(request, path)) for path in outputs]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    lines = [line for path in outputs for line in path.read_text().splitlines()]
    records = results(Path(request["workspace"]))
    for identity in records:
        trained = [line for line in lines if line.startswith(identity) and "epochs on" in line]
        assert len(trained) == 1, trained
    assert len(records) == 3
    assert not list(Path(request["workspace"]).rglob("*.tmp"))
    table = Path(request["workspace"], "outputs/tables/table1.csv").read_text()
    assert len(table.splitlines()) == 2
