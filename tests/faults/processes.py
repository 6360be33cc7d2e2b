"""Functions that the processes under test run."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import time
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import torch

import ttq_repro.data.load
import ttq_repro.files
import ttq_repro.runs.execute
from tests.conftest import few_digits
from ttq_repro.errors import UserError
from ttq_repro.reproduce import reproduce
from ttq_repro.runs.config import Config
from ttq_repro.runs.run import Run

torch.set_num_threads(1)

SLOW_WRITE = 0.2


def carry_out(request: Config, output: Path, writing: Event | None = None) -> None:
    """Reproduce what is requested; with ``writing``, slowly enough to be killed during a write."""
    ttq_repro.data.load.load_digits = few_digits
    if writing is not None:
        _announce_writes(writing)
    with output.open("a", buffering=1) as stream, contextlib.redirect_stdout(stream):
        reproduce(request)


def train_within(config: Config, extra_bytes: int, output: Path) -> None:
    """Train one run with at most ``extra_bytes`` more address space than the process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + extra_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        ttq_repro.runs.execute.execute(Run(config))
    except UserError as error:
        output.write_text(str(error))
        sys.exit(error.exit_code)


def _announce_writes(writing: Event) -> None:
    sync = os.fsync

    def slow(handle: Any) -> None:
        writing.set()
        time.sleep(SLOW_WRITE)
        sync(handle)

    ttq_repro.files.os.fsync = slow  # type: ignore[attr-defined]
