"""Trained networks, read from the files of their runs or of the user."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ttq_repro.errors import UserError
from ttq_repro.files import sha256
from ttq_repro.runs.record import Record, read_record
from ttq_repro.runs.run import Run
from ttq_repro.runs.workspace import Workspace, record_and_weights
from ttq_repro.training.network import quantized_network, restore_float


@dataclass(frozen=True)
class Parent:
    """What a run starts from: identity (None for a user's file), weights and checksum."""

    identity: str | None
    weights: dict[str, Tensor]
    sha256: str


def read_trained(path: Path) -> tuple[nn.Module, Record]:
    """The network, in evaluation mode, of the run to which ``path`` belongs, and its record.

    Args:
        path: the run's record or its weights.

    Raises:
        UserError: record or weights are missing or damaged, or do not belong together.
    """
    record = record_of(path)
    record_path, weights = record_and_weights(path.absolute())
    if not weights.is_file():
        raise UserError(f"{record_path}: its weights, {weights}, are missing; train the run first")
    network = quantized_network(record.config)
    restore_float(network)
    network.load_state_dict(_weights_of(record, record_path, weights))
    return network.eval(), record


def record_of(path: Path) -> Record:
    """The record of the run to which ``path``, its record or its weights, belongs.

    Raises:
        UserError: the record is missing or damaged.
    """
    record_path, _ = record_and_weights(path.absolute())
    if not record_path.is_file():
        raise UserError(f"{path}: belongs to no run; there is no record {record_path}")
    try:
        return Record.read(record_path)
    except ValueError as error:
        raise UserError(str(error)) from None


def record_beside_weights(
    run: Run, workspace: Workspace, warn: Callable[[str], Any]
) -> Record | None:
    """The record of ``run``; None if it, or the weights that it belongs to, are missing.

    They also are if the run was trained anew and killed between writing its weights and its record.
    Its checkpoint is then still there.

    Args:
        warn: called about a damaged record.
    """
    record, weights = read_record(workspace.record(run), warn), workspace.weights(run)
    if record is None or not weights.is_file():
        return None
    is_finished = not workspace.resume_checkpoint(run).is_file()
    return record if is_finished or sha256(weights) == record.weights_sha256 else None


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
    record = record_beside_weights(run.parent, workspace, warn)
    if record is None:
        raise UserError(
            f"the parent {run.parent.name} is missing: train it first with "
            f"train_parent=true ({run.parent.epochs} epochs), or give parent=PATH or none"
        )
    files = workspace.record(run.parent), workspace.weights(run.parent)
    return Parent(record.identity, _weights_of(record, *files), record.weights_sha256)


def _weights_of(record: Record, record_path: Path, path: Path) -> dict[str, Tensor]:
    """The weights at ``path``, if they are those that the record describes."""
    if sha256(path) != record.weights_sha256:
        raise UserError(
            f"{path}: its SHA-256 is not the one in its record; restore it, or delete "
            f"{record_path} to have the run trained again"
        )
    return _read_weights(path)


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise UserError(f"{path}: not a readable safetensors file ({error})") from None
