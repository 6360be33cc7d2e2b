"""Processes of one machine that work for another one, and the cores they share."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import socket
import threading
from collections.abc import Callable
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

#: Fresh processes: a forked one would inherit threads and a GPU that it cannot use.
SPAWN = multiprocessing.get_context("spawn")
#: Seconds between two looks at processes: what a lost one has started may hide that it is lost.
PATIENCE = 0.5


class ProcessesError(Exception):
    """One of several processes failed, and did not say why."""

    def __init__(self, rank: int, code: int) -> None:
        ended = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"
        super().__init__(f"process {rank} {ended}")


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0))


def threads_each(threads: int, processes: int) -> int:
    """Threads for each of ``processes`` that share ``threads``, at least one."""
    return max(1, threads // processes)


def workers_each(workers: int, processes: int) -> int:
    """Decoding workers for each of ``processes`` that share ``workers``, rounded up."""
    return -(-workers // processes)


def in_new_process(function: Callable[..., None], *arguments: Any) -> Any:
    """What ``function(*arguments, sender)`` sends through the pipe that it gets.

    The process ends when this one does.

    Raises:
        EOFError: it ended without; the message has its exit code.
    """
    receiver: Connection
    receiver, sender = SPAWN.Pipe(duplex=False)
    process = _started(function, *arguments, sender)
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        process.join()
        raise EOFError(f"process ended with exit code {process.exitcode}") from None
    finally:
        process.join()


def run_together(
    function: Callable[..., None], arguments: tuple[Any, ...], count: int, threads: int
) -> None:
    """Call ``function(*arguments, sender)`` in ``count`` processes until all have ended well.

    Each has its ``LOCAL_RANK``, ``MASTER_ADDR`` and ``MASTER_PORT`` in its environment, as
    ``torch.distributed`` and Lightning read them, and ``OMP_NUM_THREADS``. None outlives the
    failure of another, this call, or this process, however it ends.

    Raises:
        ProcessesError: one failed. If several did, one that a signal ended is to blame: the others
            may have failed because they lost it.
        Exception: what one that failed has sent through the pipe that it gets.
    """
    shared = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        # Otherwise Lightning gives each a share of all cores, whoever else computes on them.
        "OMP_NUM_THREADS": str(threads),
    }
    pipes = [SPAWN.Pipe(duplex=False) for _ in range(count)]
    processes: list[BaseProcess] = []
    try:
        for rank, (_, sender) in enumerate(pipes):
            place = shared | {"LOCAL_RANK": str(rank)}
            processes.append(_started(function, *arguments, sender, **place))
        # Each code is read once a round: who ends meanwhile is for the next one.
        while None in (codes := [process.exitcode for process in processes]) and not any(codes):
            at_work = zip(processes, codes, strict=True)
            wait([process.sentinel for process, code in at_work if code is None], PATIENCE)
        if failed := [(code, rank) for rank, code in enumerate(codes) if code]:
            code, rank = min(failed)
            said = [receiver.recv() for receiver, _ in pipes if receiver.poll()]
            raise said[0] if said and code > 0 else ProcessesError(rank, code)
    finally:
        for process in processes:
            process.kill()
            process.join()


def _started(function: Callable[..., None], *arguments: Any, **environment: str) -> BaseProcess:
    """A process at work for this one, deaf to Ctrl-C before it can say so itself."""
    process = SPAWN.Process(target=_serve, args=(pickle.dumps(function), environment, *arguments))
    resource_tracker.ensure_running()  # Whoever starts it first hears Ctrl-C again.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return process


def _serve(function: bytes, environment: dict[str, str], *arguments: Any) -> None:
    """Call a function that takes seconds to import, all the while ready to end."""
    serve_parent()
    os.environ.update(environment)
    pickle.loads(function)(*arguments)


def serve_parent() -> None:
    """Leave Ctrl-C to the process that started this one, and end when it ends, even by a kill."""
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
