"""Scripts as processes: start them, wait for what they do, find the processes they start."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ttq_repro.files import ROOT

T = TypeVar("T")


@contextmanager
def started(name: str, *arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a script, whose standard error can be read; ``options`` are those of Popen."""
    command = [sys.executable, str(ROOT / "scripts" / f"{name}.py"), *arguments]
    # A shell makes tests in the background ignore Ctrl-C, and their children inherit that.
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, preexec_fn=heed, **options
    ) as process:
        yield process


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
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # It may be gone by now.
            command = (process / "cmdline").read_text()
            parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
            if named in command and int(parent) == starter:
                found.append(int(process.name))
    return sorted(found)
