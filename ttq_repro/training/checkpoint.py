"""Resume checkpoints that survive a kill and whose damage is detected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from ttq_repro.sealed import open_sealed, write_sealed

#: Key of the parent's SHA-256 in a checkpoint, beside Lightning's own keys.
PARENT = "parent_sha256"


class SealedCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint atomically, preceded by the SHA-256 of its content.

    Args:
        parent: SHA-256 of the weights that the run started from; None if they were random.
    """

    def __init__(self, parent: str | None = None) -> None:
        super().__init__()
        self._parent = parent

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        content = checkpoint | {PARENT: self._parent}
        write_sealed(Path(path), lambda stream: torch.save(content, stream))

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return _load(Path(path), map_location)


def recorded_parent(path: Path) -> str | None:
    """SHA-256 of the weights that the run of the checkpoint at ``path`` started from.

    Raises:
        ValueError: the checkpoint is damaged.
        KeyError, UnpicklingError: another version of this code wrote it.
    """
    return _load(path)[PARENT]


def _load(path: Path, map_location: Any = None) -> dict[str, Any]:
    with open_sealed(path) as stream:
        # weights_only allows tensors and plain containers, whatever the caller asks for. They are
        # loaded onto the CPU, as the GPU that they come from may no longer be there.
        return torch.load(stream, map_location or "cpu", weights_only=True)
