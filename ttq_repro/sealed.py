"""Files that reveal damage: the SHA-256 of the content precedes the content.

Both are in one file, because two files cannot be replaced atomically.
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
    """Write atomically to ``path`` the bytes that ``write`` puts into the stream it is given."""
    stream = BytesIO(bytes(SEAL_BYTES))
    stream.seek(SEAL_BYTES)
    write(stream)
    # Sealed in place, so that memory holds only one serialized copy of a checkpoint.
    with stream.getbuffer() as whole, whole[SEAL_BYTES:] as content:
        whole[:SEAL_BYTES] = hashlib.sha256(content).digest()
        write_atomically(path, whole)


@contextmanager
def open_sealed(path: Path) -> Iterator[BinaryIO]:
    """Open a file of :func:`write_sealed`, positioned at the start of its content.

    Raises:
        ValueError: the content does not match its checksum.
    """
    with path.open("rb") as stream:
        seal = stream.read(SEAL_BYTES)
        if hashlib.file_digest(stream, "sha256").digest() != seal:
            raise ValueError(f"{path}: damaged, its checksum does not match its content")
        stream.seek(SEAL_BYTES)
        yield stream
