"""Processes of one machine that work for another one, and the cores they share."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

#: Fresh processes: a forked one would inherit threads and a GPU that it cannot use.
SPAWN = multiprocessing.get_context("spawn")


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

    Raises:
        EOFError: it ended without; the message has its exit code.
    """
    receiver: Connection
    receiver, sender = SPAWN.Pipe(duplex=False)
    process = SPAWN.Process(target=function, args=(*arguments, sender))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        process.join()
        raise EOFError(f"process ended with exit code {process.exitcode}") from None
    finally:
        process.join()


def serve_parent() -> None:
    """Leave Ctrl-C to the process that started this one, and end when it ends, even by a kill."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
