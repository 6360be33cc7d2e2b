"""Worker processes on this machine, and how they share its cores."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import socket
import threading
import time
from collections.abc import Callable
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from ttq_repro.errors import UserError

#: New processes are spawned: a forked one would inherit threads and a GPU that it cannot use.
SPAWN = multiprocessing.get_context("spawn")
#: Seconds between checks of exit codes: a dead process's sentinel stays silent while processes
#: that it started still hold it open. As long may pass until an exit code is known.
PATIENCE = 0.5


class ProcessesError(Exception):
    """One of several processes failed without sending an exception."""

    def __init__(self, rank: int, code: int) -> None:
        ended = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"
        super().__init__(f"process {rank} {ended}")


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def threads_each(threads: int, processes: int) -> int:
    """Threads for each of ``processes`` that share ``threads``, at least one."""
    return max(1, threads // processes)


def workers_each(workers: int, processes: int) -> int:
    """Decoding workers for each of ``processes`` that share ``workers``, rounded up."""
    return -(-workers // processes)


def in_new_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """What ``function(*arguments)`` returns in a new process, which ends when this one does.

    Raises:
        UserError: the function raised it.
        EOFError: the process ended without a result; the message has its exit code.
    """
    receiver: Connection
    receiver, sender = SPAWN.Pipe(duplex=False)
    process = _started(_answer, function, arguments, sender)
    sender.close()
    try:
        result, error = receiver.recv()
    except EOFError:
        process.join()
        raise EOFError(f"process ended with exit code {process.exitcode}") from None
    except BaseException:  # Ctrl-C, which the process ignores.
        process.kill()
        raise
    finally:
        process.join()
    if error is not None:
        raise error
    return result


def _answer(function: Callable[..., Any], arguments: tuple[Any, ...], sender: Connection) -> None:
    try:
        sender.send((function(*arguments), None))
    except UserError as error:
        sender.send((None, error))


def run_together(
    function: Callable[..., None], arguments: tuple[Any, ...], count: int, threads: int
) -> None:
    """Call ``function(*arguments, sender)`` in ``count`` processes and wait until all succeed.

    The environment of each has ``LOCAL_RANK``, ``MASTER_ADDR`` and ``MASTER_PORT``, which
    ``torch.distributed`` and Lightning read, and ``OMP_NUM_THREADS``. No process outlives the
    failure of another, this call, or this process, however it ends.

    Raises:
        ProcessesError: a process failed. If several did, one killed by a signal is reported: the
            others may have failed because they lost it.
        Exception: the exception that a failed process sent through its pipe.
    """
    shared = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        # Otherwise Lightning divides all cores among them, even those that other processes use.
        "OMP_NUM_THREADS": str(threads),
    }
    pipes = [SPAWN.Pipe(duplex=False) for _ in range(count)]
    processes: list[BaseProcess] = []
    try:
        for rank, (_, sender) in enumerate(pipes):
            place = shared | {"LOCAL_RANK": str(rank)}
            processes.append(_started(function, *arguments, sender, **place))
        # Each exit code is read once per round; a process that ends meanwhile is for the next.
        while None in (codes := [process.exitcode for process in processes]) and not any(codes):
            at_work = zip(processes, codes, strict=True)
            wait([process.sentinel for process, code in at_work if code is None], PATIENCE)
        if any(codes):
            # The others may lose a process that was killed before its exit code is known.
            time.sleep(PATIENCE)
            codes = [process.exitcode for process in processes]
            code, rank = min((code, rank) for rank, code in enumerate(codes) if code)
            said = [receiver.recv() for receiver, _ in pipes if receiver.poll()]
            raise said[0] if said and code > 0 else ProcessesError(rank, code)
    finally:
        for process in processes:
            process.kill()
            process.join()


def _started(function: Callable[..., None], *arguments: Any, **environment: str) -> BaseProcess:
    """Start a process that ignores Ctrl-C even before :func:`serve_parent` runs in it."""
    process = SPAWN.Process(target=_serve, args=(pickle.dumps(function), environment, *arguments))
    resource_tracker.ensure_running()  # Now, as starting it unblocks SIGINT.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return process


def _serve(function: bytes, environment: dict[str, str], *arguments: Any) -> None:
    """Watch the parent first, then unpickle the function, whose import takes seconds."""
    serve_parent()
    os.environ.update(environment)
    pickle.loads(function)(*arguments)


def serve_parent() -> None:
    """Ignore Ctrl-C, which the parent handles, and end when the parent ends, even if killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
