"""Exporting a trained run (configs/export.yaml)."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from ttq_repro.checks import check_choice, check_option, check_path
from ttq_repro.deploy.coding import CODINGS
from ttq_repro.deploy.format import is_packed, serialize
from ttq_repro.deploy.packed import Inputs, PackedNetwork
from ttq_repro.deploy.packing import pack
from ttq_repro.deploy.to_onnx import ONNX_WEIGHTS, is_exported, to_onnx
from ttq_repro.errors import UserError
from ttq_repro.files import check_out, write_out
from ttq_repro.runs.config import Config, without
from ttq_repro.runs.record import Record
from ttq_repro.runs.trained import read_trained
from ttq_repro.runs.wandb_run import link_packed
from ttq_repro.runs.workspace import Workspace, record_and_weights

MODELS = "ttq_repro.models."


def export(request: Config) -> None:
    """Write the packed or the ONNX file that ``request`` asks for, and print what it holds.

    Raises:
        UserError: the run has no record or weights, cannot be exported in this way, or is to be
            linked in wandb but is not there.
    """
    for key in ("run", "out"):
        check_option(key, request[key], check_path)
    check_option("coding", request["coding"], check_choice, CODINGS)
    check_option("onnx_weights", request["onnx_weights"], check_choice, ONNX_WEIGHTS)
    out = Path(request["out"])
    _check_suits(out, request)
    run = Path(request["run"])
    network, record = read_trained(run)
    try:
        packed = pack_trained(network, record, fold=request["fold"])
        if out.suffix == ".onnx":
            content = to_onnx(packed, request["onnx_weights"])
        else:
            content = serialize(packed, request["coding"])
    except ValueError as error:
        raise UserError(str(error)) from None
    write_out(out, content)
    count = sum(layer.weights for layer in packed.layers)
    print(
        f"{out}: {len(content):,} bytes; {count:,} weights in {len(packed.layers)} quantized "
        f"layers, and {len(packed.floats) + len(packed.batch_norm):,} float32 numbers"
    )
    if request["link"]:
        _, weights = record_and_weights(run.absolute())
        link_packed(record, weights, out, Workspace.of(request))


def _check_suits(out: Path, request: Config) -> None:
    """Check that ``out`` may be written, and that the requested options suit its format.

    Raises:
        UserError: an option does not suit the format, or ``out`` cannot or must not be written.
    """
    if out.suffix not in (".safetensors", ".onnx"):
        raise UserError(f"out={out}: must end in .safetensors (packed) or .onnx")
    key, usual = ("coding", "packed") if out.suffix == ".onnx" else ("onnx_weights", "float")
    if request[key] != usual:
        raise UserError(f"{key}={request[key]}: does not apply to {out.suffix} files")
    # Another file may hold trained weights, which only training again would bring back.
    if out.suffix == ".safetensors":
        check_out(out, "a packed network", is_packed)
    else:
        check_out(out, "an exported network", is_exported)


def pack_trained(network: nn.Module, record: Record, *, fold: bool) -> PackedNetwork:
    """The packed network of a run.

    Raises:
        ValueError: the run's model is not one of ``ttq_repro.models``, or cannot be packed.
    """
    inputs = record.inputs
    return pack(
        network,
        *architecture_of(record.config),
        Inputs(
            tuple(inputs["size"]),
            inputs["crop_fraction"],
            tuple(inputs["mean"]),
            tuple(inputs["std"]),
            tuple(inputs["classes"]),
        ),
        fold=fold,
        provenance={
            "run": record.identity,
            "seed": record.seed,
            "commit": record.provenance.get("commit"),
            "weights_sha256": record.weights_sha256,
            "test_error": record.test_error["final"],
        },
    )


def architecture_of(config: Config) -> tuple[str, Config]:
    """The name of a run's model class in ``ttq_repro.models``, and its arguments.

    How its weights were initialized is not among them, as it does not matter after training.
    """
    model = config["model"]
    arguments = without(model, "name", "_target_", "init") | {
        "num_classes": config["data"]["num_classes"]
    }
    return model["_target_"].removeprefix(MODELS), arguments
