"""One run trained by several processes."""

from __future__ import annotations

import os
import sys
import traceback
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, NoReturn

import torch

from ttq_repro.data.shard import Shard
from ttq_repro.errors import TrainingError, UserError
from ttq_repro.runs.config import Config
from ttq_repro.runs.failures import as_training_error, lost_the_others
from ttq_repro.runs.run import Run
from ttq_repro.runs.train import data_of, train_shard
from ttq_repro.runs.trained import read_parent
from ttq_repro.runs.workspace import Workspace
from ttq_repro.workers import ProcessesError, run_together, threads_each


def train_distributed(run: Run, replaced: list[dict[str, Any]]) -> None:
    """Train a run in ``run.processes`` processes, while this one holds its lock.

    We start them ourselves because Lightning would run the command line again, which may be a plan
    or a sweep of many runs whose locks this process holds.

    Raises:
        UserError, TrainingError: one of the processes reported it, or ended unexpectedly.
    """
    threads = threads_each(torch.get_num_threads(), run.processes)
    try:
        run_together(_train, (run.config, replaced, threads), run.processes, threads)
    except ProcessesError as error:
        raise TrainingError(
            f"{error}; {run.processes} processes trained the run together"
        ) from None


def _train(
    config: Config, replaced: list[dict[str, Any]], threads: int, sender: Connection
) -> None:
    """Train this process's shard of a run."""
    torch.set_num_threads(threads)
    run, workspace = Run(config), Workspace.of(config)
    shard = Shard(int(os.environ["LOCAL_RANK"]), run.processes)
    say = partial(print, flush=True) if shard.rank == 0 else _nothing
    try:
        with as_training_error(run):
            parent = read_parent(run, workspace, say)
            train_shard(run, parent, data_of(run, workspace), shard, replaced, say)
    except UserError as error:
        sender.send(error)
        _leave(error.exit_code)
    except KeyboardInterrupt:  # From SIGTERM, which the starting process may have received, too.
        _leave(1)
    except Exception as error:
        # The error of the lost process is the cause, and is reported there.
        if not lost_the_others(error):
            traceback.print_exc()
        _leave(1)


def _leave(code: int) -> NoReturn:
    """Exit without running handlers that would wait for the other processes."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _nothing(_: str) -> None:
    pass
