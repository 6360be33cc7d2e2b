"""Ctrl-C and SIGTERM may reach all processes of a command: one last line, and exit code 130."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.conftest import TINY
from tests.processes import python, started, wait_for_file

#: So many epochs would be worth compiling.
LONG = ["recipe.epochs=1000", "trainer.compile=false"]
RUN = [*TINY, *LONG]
PLAN = [
    "artifact=table1", "+only.depth=[20]", "+only.method=[full_precision,ttq]", "budget=smoke",
    "dataset=digits", f"overrides={[*TINY[2:], *LONG]}",
]  # fmt: skip
SWEEP = ["-m", *RUN, "seed=1,2,3", "hydra.sweep.dir=sweep"]
SIDE_BY_SIDE = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
STOPPED = "stopped; the same command resumes from the last complete epoch"
BLOWS = pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGTERM])


@BLOWS
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        pytest.param("train", RUN, id="train"),
        pytest.param("train", SWEEP, id="sweep", marks=pytest.mark.slow),
        pytest.param("train", [*SWEEP, *SIDE_BY_SIDE], id="joblib", marks=pytest.mark.slow),
        pytest.param("reproduce", [*PLAN, "jobs=1"], id="plan", marks=pytest.mark.slow),
        pytest.param("reproduce", [*PLAN, "jobs=2"], id="side_by_side", marks=pytest.mark.slow),
    ],
)
def test_the_last_word_says_how_to_go_on(
    name: str, arguments: list[str], blow: signal.Signals, tmp_path: Path
) -> None:
    own_group = {"cwd": tmp_path, "start_new_session": True}
    with started(name, *arguments, f"workspace={tmp_path}", **own_group) as process:
        wait_for_file("last.ckpt", tmp_path)
        os.killpg(process.pid, blow)
        _, said = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in said
    assert said.count("the same command resumes") == 1
    assert said.splitlines()[-1] == STOPPED


#: A script that only waits.
WAITING = """
import time
from pathlib import Path
from ttq_repro.runs.entry import entry_point

@entry_point("train")
def main(_):
    Path("begun").touch()
    time.sleep(600)

main()
"""


@BLOWS
def test_what_cannot_go_on_says_only_that_it_stopped(blow: signal.Signals, tmp_path: Path) -> None:
    assert waiting(blow, tmp_path) == ["", "stopped"]


@BLOWS
def test_a_sweep_tells_what_is_done_before_it_stops(blow: signal.Signals, tmp_path: Path) -> None:
    *summary, _, stopped = waiting(blow, tmp_path, "-m", "seed=1,2", "hydra.sweep.dir=sweep")
    assert summary == [
        "not done; the same command tries them again:",
        f"  seed=1 workspace={tmp_path}: stopped before it finished, or still running",
    ]
    assert stopped == "stopped"


def waiting(blow: signal.Signals, folder: Path, *arguments: str) -> list[str]:
    """What a script that waits says on standard error when it is stopped, line by line."""
    (folder / "waiting.py").write_text(WAITING)
    own_group = {"cwd": folder, "start_new_session": True}
    with python("waiting.py", *arguments, f"workspace={folder}", **own_group) as process:
        wait_for_file("begun", folder)
        os.killpg(process.pid, blow)
        _, said = process.communicate()
    assert process.returncode == 130
    return said.splitlines()
