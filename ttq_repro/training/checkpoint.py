"""Resume checkpoints that survive a kill and tell when they are damaged."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from ttq_repro.files import write_atomically

DIGEST_BYTES = hashlib.sha256().digest_size
#: Where a checkpoint says what the run started from, beside what Lightning keeps there.
PARENT = "parent_sha256"


class SealedCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint whole or not at all, behind the SHA-256 of its content.

    The checksum stands in the same file, because two files cannot be replaced at once.

    Args:
        parent: SHA-256 of the weights that the run started from, None if they were random.
    """

    def __init__(self, parent: str | None = None) -> None:
        super().__init__()
        self._parent = parent

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        buffer = io.BytesIO()
        torch.save(checkpoint | {PARENT: self._parent}, buffer)
        content = buffer.getvalue()
        write_atomically(Path(path), hashlib.sha256(content).digest() + content)

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return _load(Path(path), map_location)


def recorded_parent(path: Path) -> str | None:
    """SHA-256 of the weights that the run of the checkpoint at ``path`` started from."""
    return _load(path)[PARENT]


def _load(path: Path, map_location: Any = None) -> dict[str, Any]:
    content = path.read_bytes()[DIGEST_BYTES:]
    # Never anything but tensors and plain containers, whatever the caller asks for.
    # Into the CPU's memory, as it may come from a GPU that is not there any more.
    return torch.load(io.BytesIO(content), map_location or "cpu", weights_only=True)


def is_sound(path: Path) -> bool:
    """Whether the checkpoint at ``path`` is what was written there."""
    stored = path.read_bytes()
    return hashlib.sha256(stored[DIGEST_BYTES:]).digest() == stored[:DIGEST_BYTES]
