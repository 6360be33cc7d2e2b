"""Processes that work together end together, whichever of them fails, and with their starter."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ttq_repro.runs.processes import ProcessesError, run_together

FOREVER = "import time; time.sleep(600)"
#: A process that leaves its number in a folder and waits.
MEMBER = f"""
import os, pathlib
from ttq_repro.runs.processes import end_with_starter
end_with_starter()
pathlib.Path(r"{{folder}}", str(os.getpid())).touch()
{FOREVER}
"""


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def alive(folder: Path) -> list[int]:
    return [int(path.name) for path in folder.iterdir() if Path("/proc", path.name).exists()]


def wait_until(condition: object, seconds: float = 20) -> None:
    assert callable(condition)
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


def test_each_knows_its_place_and_where_the_others_meet(tmp_path: Path) -> None:
    program = (
        "import os, pathlib; "
        f"pathlib.Path(r'{tmp_path}', os.environ['LOCAL_RANK'])"
        ".write_text(os.environ['MASTER_ADDR'] + ':' + os.environ['MASTER_PORT'])"
    )
    run_together(python(program), 3, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "2"]
    (meeting,) = {path.read_text() for path in tmp_path.iterdir()}
    assert meeting.startswith("127.0.0.1:")


@pytest.mark.parametrize(
    ("end", "said", "code"),
    [
        ("os.kill(os.getpid(), 9)", "process 1 was ended by SIGKILL", -signal.SIGKILL),
        ("sys.exit(2)", "process 1 exited with 2", 2),
    ],
)
def test_one_that_fails_ends_the_others(end: str, said: str, code: int) -> None:
    program = f"import os, sys\nif os.environ['LOCAL_RANK'] == '1': {end}\n{FOREVER}"
    started = time.monotonic()
    with pytest.raises(ProcessesError, match=said) as failure:
        run_together(python(program), 3, 1)
    assert failure.value.code == code
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_none_outlives_the_starter(blow: signal.Signals, tmp_path: Path) -> None:
    member = python(MEMBER.format(folder=tmp_path))
    starter = f"from ttq_repro.runs.processes import run_together; run_together({member!r}, 2, 1)"
    process = subprocess.Popen(
        python(starter),
        stderr=subprocess.DEVNULL,
        # Where the tests run in the background, SIGINT is ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_until(lambda: len(alive(tmp_path)) == 2)
    os.kill(process.pid, blow)
    process.wait()
    wait_until(lambda: not alive(tmp_path))
