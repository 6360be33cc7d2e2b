"""Training many runs: one after another, or several at a time in processes of their own."""

from __future__ import annotations

import multiprocessing
import sys
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from multiprocessing.connection import Connection

import torch

from ttq_repro.errors import TrainingError, UserError
from ttq_repro.runs.config import Config
from ttq_repro.runs.execute import execute
from ttq_repro.runs.run import Run
from ttq_repro.workers import in_new_process, threads_each, workers_each

Start = Callable[[Run], Future[None]]


def train_all(runs: Iterable[Run], jobs: int = 1) -> dict[str, str]:
    """Train runs that are ordered parents first; those that fail do not stop the others.

    Several at a time share the cores. On small networks they get more done than one with all
    cores: nobody waits for a thread of its own.

    Args:
        jobs: how many at a time; one is trained in this process.

    Returns:
        Why which of them failed, by name: those that raised a :class:`TrainingError`, those whose
        process was lost, and their children.

    Raises:
        UserError: something that the user is to mend before any run can go on.
    """
    if jobs == 1:
        return _train_all(runs, jobs, _now)
    with ThreadPoolExecutor(jobs) as pool:
        try:
            return _train_all(runs, jobs, lambda run: pool.submit(_in_a_process, jobs, run))
        finally:
            # None is left unless this was interrupted, or a run met what all would.
            for process in multiprocessing.active_children():
                process.kill()


def _train_all(runs: Iterable[Run], jobs: int, start: Start) -> dict[str, str]:
    waiting, failed = list(runs), dict[str, str]()
    count = len(waiting)
    at_work: dict[Future[None], Run] = {}
    while waiting or at_work:
        unfinished = {run.name for run in (*waiting, *at_work.values())}
        ready = [run for run in waiting if not run.parent or run.parent.name not in unfinished]
        for run in ready[: jobs - len(at_work)]:
            waiting.remove(run)
            print(f"\nrun {count - len(waiting)} of {count}", flush=True)
            at_work[_started(run, failed, start)] = run
        for future in wait(at_work, return_when=FIRST_COMPLETED).done:
            run = at_work.pop(future)
            try:
                future.result()
            except TrainingError as error:
                failed[run.name] = str(error)
                print(f"failed: {run.name}: {error}", file=sys.stderr)
    return failed


def _started(run: Run, failed: dict[str, str], start: Start) -> Future[None]:
    if run.parent is None or run.parent.name not in failed:
        return start(run)
    lost: Future[None] = Future()
    lost.set_exception(TrainingError("its parent failed"))
    return lost


def _now(run: Run) -> Future[None]:
    """Train in this process, and only then return."""
    future: Future[None] = Future()
    try:
        execute(run, weights_too=True)
    except UserError as error:
        future.set_exception(error)
    except Exception as error:
        # A fault of ours ends one run, as it would one in a process of its own.
        traceback.print_exc()
        future.set_exception(TrainingError(f"{type(error).__name__}: {error}"))
    else:
        future.set_result(None)
    return future


def _in_a_process(jobs: int, run: Run) -> None:
    """Train in a process of its own, one of ``jobs``, and wait for its end."""
    threads = threads_each(torch.get_num_threads(), jobs)
    trainer = run.config["trainer"]
    if trainer["progress"]:  # Bars of several runs would overwrite each other.
        trainer = trainer | {"progress": "lines"}
    trainer = trainer | {"workers": workers_each(trainer["workers"], jobs)}
    config = run.config | {"trainer": trainer}
    try:
        error: UserError | None = in_new_process(_work, config, threads)
    except EOFError as lost:
        error = TrainingError(f"its {lost}")
    if error is not None:
        raise error


def _work(config: Config, threads: int, sender: Connection) -> None:
    torch.set_num_threads(threads)
    try:
        execute(Run(config), weights_too=True, say=partial(print, flush=True))
    except UserError as error:
        sender.send(error)
    else:
        sender.send(None)
