"""Decoded arrays on disk: written once, verified by checksum at every read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from ttq_repro.files import remove_leftovers
from ttq_repro.sealed import open_sealed, write_sealed

Arrays = dict[str, NDArray]


def cached_arrays(path: Path, make: Callable[[], Arrays]) -> Arrays:
    """The arrays stored at ``path``, or those that ``make`` returns, stored there for next time.

    A cache file that fails its checksum is made again. Concurrent processes wait for the one that
    makes it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        arrays = _read(path)
        if arrays is None:
            remove_leftovers(path)
            arrays = make()
            write_sealed(path, lambda stream: np.savez(stream, **arrays))  # type: ignore[arg-type]
    return arrays


def _read(path: Path) -> Arrays | None:
    try:
        with open_sealed(path) as stream, np.load(stream, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError):  # Missing or damaged.
        return None
