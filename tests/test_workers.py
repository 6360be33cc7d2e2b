"""Processes that work together share the cores, know their rank, and end together."""

from __future__ import annotations

import os
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from tests.processes import python, wait_for
from ttq_repro.errors import DataError
from ttq_repro.files import ROOT, write_atomically
from ttq_repro.workers import (
    ProcessesError,
    in_new_process,
    run_together,
    threads_each,
    workers_each,
)


@pytest.mark.parametrize(
    ("together", "processes", "threads", "workers"),
    [(4, 1, 4, 4), (5, 2, 2, 3), (2, 4, 1, 1), (0, 2, 1, 0)],
)
def test_each_has_a_share(together: int, processes: int, threads: int, workers: int) -> None:
    assert threads_each(together, processes) == threads
    assert workers_each(together, processes) == workers


def test_runs_side_by_side_by_several_processes_share_twice() -> None:
    for together in range(1, 20):
        assert threads_each(threads_each(together, 3), 2) == threads_each(together, 6)
        assert workers_each(workers_each(together, 3), 2) == workers_each(together, 6)


def process_of(ending: str) -> int:
    if ending == "refused":
        raise DataError("no images")
    if ending == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def test_a_new_process_returns_raises_or_is_lost() -> None:
    assert in_new_process(process_of, "done") != os.getpid()
    with pytest.raises(DataError, match="no images"):
        in_new_process(process_of, "refused")
    with pytest.raises(EOFError, match="process ended with exit code -9"):
        in_new_process(process_of, "killed")


def tell_place(folder: Path, _: Connection) -> None:
    names = ("MASTER_ADDR", "MASTER_PORT", "OMP_NUM_THREADS")
    place = " ".join(os.environ[name] for name in names)
    Path(folder, os.environ["LOCAL_RANK"]).write_text(place)


def test_each_knows_its_place_and_where_the_others_meet(tmp_path: Path) -> None:
    run_together(tell_place, (tmp_path,), 3, threads=5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "2"]
    (place,) = {path.read_text() for path in tmp_path.iterdir()}
    address, port, threads = place.split()
    assert (address, threads) == ("127.0.0.1", "5")
    assert int(port) > 0
    assert "LOCAL_RANK" not in os.environ


def is_over(process: str) -> bool:
    """Whether a process has ended, even if its parent has not reaped it yet."""
    try:
        return Path("/proc", process, "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def end_one(how: str, others: int | None, ending: Path, sender: Connection) -> None:
    """Process 1 ends; the others wait, or end after it with a code of their own."""
    if os.environ["LOCAL_RANK"] != "1":
        wait_for(lambda: ending.is_file() and is_over(ending.read_text()), "end of process 1")
        if others is None:
            time.sleep(600)
        os._exit(others or 0)
    write_atomically(ending, str(os.getpid()).encode())
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "tell":
        sender.send(DataError("no images"))
    os._exit(2)


@pytest.mark.parametrize("others", [None, 0, 1])
@pytest.mark.parametrize(
    ("how", "error", "said"),
    [
        ("kill", ProcessesError, "^process 1 was ended by SIGKILL$"),
        ("exit", ProcessesError, r"^process \d exited with [12]$"),
        ("tell", DataError, "^no images$"),
    ],
)
def test_one_that_fails_ends_the_others(
    how: str, error: type[Exception], said: str, others: int | None, tmp_path: Path
) -> None:
    # If the others were left to end by themselves, that would take longer than a test may.
    with pytest.raises(error, match=said):
        run_together(end_one, (how, others, tmp_path / "ending"), 3, threads=1)


def wait_in(folder: Path, *_: Connection) -> None:
    """Leave this process's PID in a folder and wait."""
    Path(folder, str(os.getpid())).touch()
    time.sleep(600)


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    ("call", "count"),
    [("run_together(wait_in, (folder,), 2, threads=1)", 2), ("in_new_process(wait_in, folder)", 1)],
)
def test_none_outlives_the_starter(
    call: str, count: int, blow: signal.Signals, tmp_path: Path
) -> None:
    starter = (
        "from pathlib import Path; from tests.test_workers import wait_in; "
        "from ttq_repro.workers import in_new_process, run_together; "
        f"folder = Path({str(tmp_path)!r}); {call}"
    )
    with python("-c", starter, cwd=ROOT) as process:
        wait_for(lambda: len(alive(tmp_path)) == count, "the processes")
        process.send_signal(blow)
        process.wait()
    wait_for(lambda: not alive(tmp_path), "their end")


def alive(folder: Path) -> list[int]:
    return [int(path.name) for path in folder.iterdir() if Path("/proc", path.name).exists()]
