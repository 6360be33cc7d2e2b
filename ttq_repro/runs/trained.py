"""The network that a run left behind, built from its files and config."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from ttq_repro.errors import UserError
from ttq_repro.files import sha256
from ttq_repro.runs.record import Record
from ttq_repro.runs.workspace import record_and_weights
from ttq_repro.training.network import quantized_network, restore_float


def read_trained(path: Path) -> tuple[nn.Module, Record]:
    """The network, in evaluation mode, of the run to which ``path`` belongs, and its record.

    Args:
        path: the run's record or its weights.

    Raises:
        UserError: record or weights are missing or damaged, or do not belong together.
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
    network = quantized_network(record.config)
    restore_float(network)
    network.load_state_dict(load_file(weights))
    return network.eval(), record
