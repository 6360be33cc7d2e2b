"""The network that a run left behind, built from its files and config."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from ttq_repro.data.load import load_data
from ttq_repro.data.source import DataSource
from ttq_repro.errors import UserError
from ttq_repro.files import sha256
from ttq_repro.runs.record import Record
from ttq_repro.runs.workspace import Workspace, record_and_weights
from ttq_repro.training.network import quantized_network, restore_float


@dataclass(frozen=True)
class Trained:
    """A trained network in evaluation mode, its record, and the data set it was trained on."""

    network: nn.Module
    record: Record
    data: DataSource


def read_trained(path: Path, data_root: str | None, workspace: Workspace) -> Trained:
    """The result of the run to which ``path``, its record or its weights, belongs.

    Args:
        data_root: folder of the images; None for the default, ``data``.
        workspace: where decoded images are cached.

    Raises:
        UserError: record or weights are missing or damaged, or do not belong together.
        DataError: the data set is missing or damaged.
    """
    record_path, weights = record_and_weights(path.absolute())
    if not record_path.is_file():
        raise UserError(f"{path}: belongs to no run; there is no record {record_path}")
    if not weights.is_file():
        raise UserError(f"{record_path}: its weights, {weights}, are missing; train the run first")
    try:
        record = Record.read(record_path)
    except ValueError as error:
        raise UserError(str(error)) from None
    if sha256(weights) != record.weights_sha256:
        raise UserError(f"{weights}: not the weights of {record_path}; the checksum differs")
    config = record.config
    network = quantized_network(config)
    restore_float(network)
    network.load_state_dict(load_file(weights))
    node = config["data"] | {"root": data_root}
    return Trained(network.eval(), record, load_data(node, workspace.cache, workers=0))
