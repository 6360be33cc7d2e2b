"""Atomic writes: a file is either complete or absent."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from ttq_repro.errors import UserError

#: The checkout, or the site-packages folder if the package is installed without one.
ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "configs"


def _cache() -> Path:
    if (ROOT / "pyproject.toml").is_file():
        return ROOT / "outputs" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ttq_repro"


#: The package's own cache, independent of the workspace that a config names.
CACHE = _cache()


def write_atomically(path: Path, content: bytes | memoryview) -> None:
    """Write to a temporary name in the same folder, sync, and rename over ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    # Not tempfile: its files are private, while these should get the permissions of the umask.
    stream = temporary.open("xb")
    try:
        with stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def obstacle(path: Path) -> str | None:
    """Why a file could not be written, in the system's words, if that can be told beforehand."""
    try:
        folder = nearest_existing(path.parent)
        if path.is_dir():
            return os.strerror(errno.EISDIR)
        if not folder.is_dir():
            return os.strerror(errno.ENOTDIR)
        return None if os.access(folder, os.W_OK) else os.strerror(errno.EACCES)
    except OSError as error:
        return error.strerror


def check_out(out: Path, kind: str, is_of_kind: Callable[[Path], bool]) -> None:
    """Check that the file that the option ``out`` asks for may be written, before long work.

    Args:
        kind: what it will be; only another of its kind may be overwritten.

    Raises:
        UserError: it cannot be written, or exists and is something else, perhaps the only copy.
    """
    if why := obstacle(out):
        raise UserError(f"out={out}: {why}")
    if out.exists() and not is_of_kind(out):
        raise UserError(f"out={out}: exists and is not {kind}; choose another path")


def write_out(out: Path, content: bytes) -> None:
    """Write the file that the option ``out`` asks for.

    Raises:
        UserError: it cannot be written.
    """
    try:
        write_atomically(out, content)
    except OSError as error:
        raise UserError(f"out={out}: {error.strerror}") from None


def nearest_existing(path: Path) -> Path:
    """The path, or the nearest of its parents that exists, if only as a link to nowhere."""
    return next(one for one in (path, *path.absolute().parents) if os.path.lexists(one))


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files of killed writers of ``path``; no writer may be active."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        leftover.unlink()


def sha256(path: Path) -> str:
    """The file's SHA-256 as hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
