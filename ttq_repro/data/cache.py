"""Decoded arrays on disk: written once, checked by checksum whenever they are read."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from ttq_repro.files import remove_leftovers, write_atomically

Arrays = dict[str, NDArray]


def cached_arrays(path: Path, make: Callable[[], Arrays]) -> Arrays:
    """The arrays stored at ``path``, or those that ``make`` returns, stored there for next time.

    A cache file that fails its checksum is made again. Processes that ask at the same time wait for
    the one that makes it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        arrays = _read(path)
        if arrays is None:
            remove_leftovers(path)
            arrays = make()
            _write(path, arrays)
    return arrays


def _read(path: Path) -> Arrays | None:
    index = path.with_suffix(".json")
    try:
        checksum = json.loads(index.read_text())["sha256"]
        content = path.read_bytes()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if hashlib.sha256(content).hexdigest() != checksum:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def _write(path: Path, arrays: Arrays) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    content = buffer.getbuffer()
    write_atomically(path, content)
    checksum = {"sha256": hashlib.sha256(content).hexdigest()}
    write_atomically(path.with_suffix(".json"), json.dumps(checksum).encode())
