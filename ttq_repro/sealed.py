"""Files that tell when they are damaged: their content stands behind its SHA-256.

In one file, because two cannot be replaced at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from ttq_repro.files import write_atomically

SEAL_BYTES = hashlib.sha256().digest_size


def write_sealed(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Write to ``path``, whole or not at all, what ``write`` puts into the stream that it gets."""
    stream = BytesIO(bytes(SEAL_BYTES))
    stream.seek(SEAL_BYTES)
    write(stream)
    # Sealed in place: a checkpoint is held in memory once, beside what it is of.
    with stream.getbuffer() as whole, whole[SEAL_BYTES:] as content:
        whole[:SEAL_BYTES] = hashlib.sha256(content).digest()
        write_atomically(path, whole)


@contextmanager
def open_sealed(path: Path) -> Iterator[BinaryIO]:
    """The content of a file of :func:`write_sealed`, from where the stream stands.

    Raises:
        ValueError: it is not what was written there.
    """
    with path.open("rb") as stream:
        seal = stream.read(SEAL_BYTES)
        if hashlib.file_digest(stream, "sha256").digest() != seal:
            raise ValueError(f"{path}: damaged, its checksum does not fit its content")
        stream.seek(SEAL_BYTES)
        yield stream
