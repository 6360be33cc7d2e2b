"""A call in a Python process of its own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any


def in_new_process(function: Callable[..., None], *arguments: Any) -> Any:
    """What ``function(*arguments, sender)`` sends through the pipe that it gets.

    Raises:
        EOFError: it ended without.
    """
    context = multiprocessing.get_context("spawn")
    receiver: Connection
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=function, args=(*arguments, sender))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    finally:
        process.join()
