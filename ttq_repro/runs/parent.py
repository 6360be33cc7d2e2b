"""The network that a run starts from, read from the files of its parent or of the user."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ttq_repro.errors import UserError
from ttq_repro.files import sha256
from ttq_repro.runs.record import Record, read_record
from ttq_repro.runs.run import Run
from ttq_repro.runs.workspace import Workspace


@dataclass(frozen=True)
class Parent:
    """What a run starts from: identity (None for a user's file), weights and checksum."""

    identity: str | None
    weights: dict[str, Tensor]
    sha256: str


def record_beside_weights(
    run: Run, workspace: Workspace, warn: Callable[[str], Any]
) -> Record | None:
    """The record of ``run``; None if it, or the weights that it belongs to, are missing.

    Args:
        warn: called about a damaged record.
    """
    record = read_record(workspace.record(run), warn)
    return record if workspace.weights(run).is_file() else None


def read_parent(run: Run, workspace: Workspace, warn: Callable[[str], Any]) -> Parent | None:
    """The network that ``run`` starts from; None for random weights.

    Args:
        warn: called about a damaged record.

    Raises:
        UserError: the parent is not trained, or its weights are unusable.
    """
    if run.config["parent"] == "none":
        return None
    if run.parent is None:
        path = Path(run.config["parent"])
        return Parent(None, _read_weights(path), sha256(path))
    path, record = workspace.weights(run.parent), record_beside_weights(run.parent, workspace, warn)
    if record is None:
        raise UserError(
            f"the parent {run.parent.name} is missing: train it first with "
            f"train_parent=true ({run.parent.epochs} epochs), or give parent=PATH or none"
        )
    if (digest := sha256(path)) != record.weights_sha256:
        raise UserError(
            f"{path}: its SHA-256 is not the one in its record; restore it, or delete "
            f"{workspace.record(run.parent)} to have the parent trained again"
        )
    return Parent(run.parent.identity, _read_weights(path), digest)


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise UserError(f"{path}: not a readable safetensors file ({error})") from None
