"""Scripts as processes: call or start them, wait for what they do, find those they start."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, TypeVar

from ttq_repro.files import ROOT

T = TypeVar("T")

#: Starts real processes quickly: they are forks of one that has imported what most tests need.
FORKSERVER = multiprocessing.get_context("forkserver")
FORKSERVER.set_forkserver_preload(["tests.faults.processes"])


def script(name: str, *arguments: str, cwd: Path = ROOT) -> CompletedProcess[str]:
    """What a script says and how it exits, in a process of its own that has imported torch already.

    Whether a script imports what it needs, and quietly, is for :func:`script_anew` to tell.
    """
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        process = FORKSERVER.Process(
            target=_run, args=(_path(name), arguments, cwd, dict(os.environ), out, err)
        )
        process.start()
        try:
            process.join()
        finally:
            process.kill()  # If it takes longer than a test may.
        assert process.exitcode is not None
        return CompletedProcess(
            [name, *arguments], process.exitcode, out.read_text(), err.read_text()
        )


def _run(
    path: Path, arguments: tuple[str, ...], cwd: Path, environment: dict[str, str], *streams: Path
) -> None:
    """Become a script as far as it can tell, with standard output and error in files."""
    for descriptor, stream in enumerate(streams, start=1):
        os.dup2(os.open(stream, os.O_WRONLY | os.O_CREAT), descriptor)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [str(path), *arguments]
    runpy.run_path(str(path), run_name="__main__")


def script_anew(
    name: str, *arguments: str, cwd: Path = ROOT, **environment: str
) -> CompletedProcess[str]:
    """As :func:`script`, but by a new interpreter, as a user calls it, which takes seconds."""
    return subprocess.run(
        [sys.executable, str(_path(name)), *arguments],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def _path(name: str) -> Path:
    return ROOT / "scripts" / f"{name}.py"


def started(
    name: str, *arguments: str, **options: Any
) -> AbstractContextManager[subprocess.Popen[str]]:
    """Run a script as :func:`python` does."""
    return python(str(_path(name)), *arguments, **options)


@contextmanager
def python(*arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a new interpreter, whose standard error can be read, until it or the test ends.

    Args:
        options: those of Popen.
    """
    # A shell makes tests in the background ignore Ctrl-C, and their children inherit that.
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    command = [sys.executable, *arguments]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, preexec_fn=heed, **options
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for_file(pattern: str, folder: Path) -> Path:
    return wait_for(lambda: next(folder.rglob(pattern), None), pattern)


def wait_for(find: Callable[[], T], name: str) -> T:
    """Wait until ``find`` returns something true, and return that."""
    for _ in range(1200):
        if found := find():
            return found
        time.sleep(0.1)
    raise AssertionError(f"no {name}")


def children(starter: int, named: str) -> list[int]:
    """The PIDs of the processes that ``starter`` started, oldest first.

    Args:
        named: a part of their command lines.
    """
    return sorted(process for process, parent in processes(named).items() if parent == starter)


def processes(*named: str) -> dict[int, int]:
    """The PIDs of all processes whose command lines contain ``named``, and of their parents."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # It may be gone by now.
            command = (process / "cmdline").read_text()
            parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
            if all(part in command for part in named):
                found[int(process.name)] = int(parent)
    return found
