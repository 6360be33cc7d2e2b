"""Training many runs: one after another, or several at a time in processes of their own."""

from __future__ import annotations

import gc
import multiprocessing
import sys
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial

import torch

from ttq_repro.errors import TrainingError, UserError, headline
from ttq_repro.runs.config import Config
from ttq_repro.runs.execute import execute
from ttq_repro.runs.run import Run
from ttq_repro.workers import in_new_process, threads_each, workers_each

Start = Callable[[Run], Future[None]]


def train_all(runs: Iterable[Run], jobs: int = 1) -> dict[str, str]:
    """Train ``runs``, ordered parents first; those that fail do not stop the others.

    Several at a time share the cores. On small networks that is faster than giving each run all
    cores in turn, since less time is lost to synchronizing threads.

    Args:
        jobs: how many at a time; if 1, they train in this process.

    Returns:
        The reason of each failure, by the run's name: it raised a :class:`TrainingError`, its
        process was lost, or its parent failed.

    Raises:
        UserError: something that the user has to fix before any run can continue.
    """
    if jobs == 1:
        return _train_all(runs, jobs, _now)
    with ThreadPoolExecutor(jobs) as pool:
        try:
            return _train_all(runs, jobs, lambda run: pool.submit(_in_a_process, jobs, run))
        finally:
            # Any are left only after an interrupt, or after an error that would stop every run.
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
    """Train in this process, and return a future that is already done."""
    future: Future[None] = Future()
    try:
        execute(run, weights_too=True)
    except UserError as error:
        # A copy: through its traceback, the error itself would keep the run's memory.
        future.set_exception(type(error)(*error.args))
    except Exception as error:
        # A bug ends only this run, as it would in a process of its own.
        traceback.print_exc()
        future.set_exception(TrainingError(headline(error, with_class=True)))
    else:
        future.set_result(None)
    # The next run may need all of the memory.
    gc.collect()
    torch.cuda.empty_cache()
    return future


def _in_a_process(jobs: int, run: Run) -> None:
    """Train in a new process, one of ``jobs``, and wait for its end."""
    threads = threads_each(torch.get_num_threads(), jobs)
    trainer = run.config["trainer"]
    if trainer["progress"]:  # Bars of several runs would overwrite each other.
        trainer = trainer | {"progress": "lines"}
    trainer = trainer | {"workers": workers_each(trainer["workers"], jobs)}
    config = run.config | {"trainer": trainer}
    try:
        in_new_process(_work, config, threads)
    except EOFError as lost:
        raise TrainingError(f"its {lost}") from None


def _work(config: Config, threads: int) -> None:
    torch.set_num_threads(threads)
    execute(Run(config), weights_too=True, say=partial(print, flush=True))
