"""Training many runs: one after another, or several at a time in processes of their own."""

from __future__ import annotations

import gc
import multiprocessing
import sys
import traceback
from collections.abc import Callable, Container, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial

import torch

from ttq_repro.errors import TrainingError, UserError, headline
from ttq_repro.runs.check import check_run
from ttq_repro.runs.config import Config
from ttq_repro.runs.execute import execute
from ttq_repro.runs.run import Run
from ttq_repro.workers import in_new_process, threads_each, workers_each


def train_all(runs: Sequence[Run], jobs: int = 1) -> dict[str, str]:
    """Train ``runs``, ordered parents first; those that fail do not stop the others.

    Several at a time share the cores. On small networks that is faster than giving each run all
    cores in turn, since less time is lost to synchronizing threads.

    Args:
        jobs: how many at a time; if 1, they train in this process.

    Returns:
        The reason of each failure, by the run's name: it raised a :class:`TrainingError`, its
        process was lost, or its parent failed.

    Raises:
        UserError: something that the user has to fix before any run can continue. Options are
            checked before the first run starts.
    """
    for run in {run.identity: run for run in runs}.values():
        _check(run)
    return _one_by_one(runs) if jobs == 1 else _side_by_side(runs, jobs)


def _check(run: Run) -> None:
    """Check a run's options; what else may happen concerns this run alone, when it is its turn."""
    try:
        check_run(run)
    except TrainingError:
        return
    except UserError:
        raise
    except Exception:
        return


def _one_by_one(runs: Sequence[Run]) -> dict[str, str]:
    failed: dict[str, str] = {}
    for number, run in enumerate(runs, 1):
        print(f"\nrun {number} of {len(runs)}", flush=True)
        _note(run, _failure(run, _in_this_process, failed), failed)
        # The next run may need all of the memory.
        gc.collect()
        torch.cuda.empty_cache()
    return failed


def _side_by_side(runs: Sequence[Run], jobs: int) -> dict[str, str]:
    waiting, failed = list(runs), dict[str, str]()
    at_work: dict[Future[str | None], Run] = {}
    train = partial(_in_a_process, jobs)
    with ThreadPoolExecutor(jobs) as pool:
        try:
            while waiting or at_work:
                unfinished = {run.name for run in (*waiting, *at_work.values())}
                ready = [
                    run for run in waiting if not run.parent or run.parent.name not in unfinished
                ]
                for run in ready[: jobs - len(at_work)]:
                    waiting.remove(run)
                    print(f"\nrun {len(runs) - len(waiting)} of {len(runs)}", flush=True)
                    at_work[pool.submit(_failure, run, train, failed)] = run
                for future in wait(at_work, return_when=FIRST_COMPLETED).done:
                    _note(at_work.pop(future), future.result(), failed)
        finally:
            # Any are left only after an interrupt, or after an error that would stop every run.
            for process in multiprocessing.active_children():
                process.kill()
    return failed


def _failure(run: Run, train: Callable[[Run], None], failed: Container[str]) -> str | None:
    """Train a run unless its parent is among ``failed``; return why it failed, if it did."""
    if run.parent and run.parent.name in failed:
        return "its parent failed"
    try:
        train(run)
    except TrainingError as error:
        return str(error)
    return None


def _note(run: Run, failure: str | None, failed: dict[str, str]) -> None:
    if failure is not None:
        failed[run.name] = failure
        print(f"failed: {run.name}: {failure}", file=sys.stderr)


def _in_this_process(run: Run) -> None:
    try:
        execute(run, weights_too=True)
    except UserError:
        raise
    except Exception as error:
        # A bug ends only this run, as it would in a process of its own.
        traceback.print_exc()
        raise TrainingError(headline(error, with_class=True)) from None


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
