"""Processes of one machine that work together: started, watched and ended together."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from typing import NoReturn

#: Seconds between two looks at whether all are alive.
PATIENCE = 0.1


class ProcessesError(Exception):
    """One of the processes failed.

    Attributes:
        code: its exit code, negative if a signal ended it.
    """

    def __init__(self, rank: int, code: int) -> None:
        self.code = code
        ended = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"
        super().__init__(f"process {rank} {ended}")


def run_together(command: list[str], count: int, threads: int) -> None:
    """Run ``command`` in ``count`` processes of ``threads`` threads until all have ended well.

    Each has ``LOCAL_RANK``, ``MASTER_ADDR`` and ``MASTER_PORT`` in its environment, as
    ``torch.distributed`` and Lightning read them. None outlives the failure of another or this
    call; nor this process, however it ends, once it has called :func:`end_with_starter`.

    Raises:
        ProcessesError: one failed. If several did, one that a signal ended is to blame: the others
            may have failed because they lost it.
    """
    shared = os.environ | {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        # Otherwise Lightning gives each a share of all cores, whoever else computes on them.
        "OMP_NUM_THREADS": str(threads),
    }
    with ExitStack() as ending:
        processes = []
        for rank in range(count):
            process = subprocess.Popen(
                command,
                env=shared | {"LOCAL_RANK": str(rank)},
                stdin=subprocess.PIPE,
                # Ctrl-C is for this process alone, which ends them.
                start_new_session=True,
            )
            ending.enter_context(process)
            ending.callback(process.kill)
            processes.append(process)
        while True:
            codes = [process.poll() for process in processes]
            if failed := [(code, rank) for rank, code in enumerate(codes) if code]:
                code, rank = min(failed)
                raise ProcessesError(rank, code)
            if None not in codes:
                return
            time.sleep(PATIENCE)


def end_with_starter() -> None:
    """Have this process end at once when the one in :func:`run_together` has ended, even if killed.

    That one holds the other end of standard input, and never writes to it.
    """
    threading.Thread(target=_end_with_input, daemon=True).start()


def _end_with_input() -> NoReturn:
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
