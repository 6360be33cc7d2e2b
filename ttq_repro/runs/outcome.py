"""The record of a trained run, with a summary of the records that it replaces."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from torch.nn.utils.parametrize import type_before_parametrizations

from ttq_repro.data.source import DataSource
from ttq_repro.runs.kernels import ternary_kernels
from ttq_repro.runs.provenance import versions
from ttq_repro.runs.record import Record, last_eighth, pack_correct, read_record
from ttq_repro.runs.run import Run
from ttq_repro.runs.trained import Parent
from ttq_repro.runs.workspace import Workspace
from ttq_repro.training.fit import Fitted


def replaced_records(run: Run, workspace: Workspace) -> list[dict[str, Any]]:
    """Summaries of the record that ``run`` will replace, and of those that it has replaced."""
    record = read_record(workspace.record(run), warn=lambda _: None)
    if record is None:
        return []
    origin = {key: record.provenance.get(key) for key in ("finished", "commit", "device")}
    outcome = {"weights_sha256": record.weights_sha256, "final": record.test_error["final"]}
    return [*record.provenance.get("replaces", []), origin | outcome]


def record_of(
    run: Run,
    data: DataSource,
    fitted: Fitted,
    parent: Parent | None,
    weights: str,
    replaced: list[dict[str, Any]],
) -> Record:
    """The record of a run that has been trained.

    Args:
        weights: SHA-256 of its network.
        replaced: see :func:`replaced_records`.
    """
    layers: dict[str, dict[str, list[float]]] = {}
    metrics: dict[str, list[float]] = {}
    quantized = {decision.name for decision in fitted.decisions if decision.quantize}
    for name, values in fitted.history.items():
        layer, _, quantity = name.rpartition("/")
        if layer in quantized:
            layers.setdefault(layer, {})[quantity] = values
        else:
            metrics[name] = values
    errors = metrics["test_error"]
    trailing = last_eighth(errors)
    return Record(
        identity=run.identity,
        seed=run.seed,
        config=run.public_config,
        parent=None
        if parent is None
        else {"identity": parent.identity, "weights_sha256": parent.sha256},
        inputs=_inputs(data),
        decisions=[
            {
                "layer": d.name,
                "quantize": d.quantize,
                "reason": d.reason,
                "kind": type_before_parametrizations(d.module).__name__,
                "weights": d.weights,
            }
            for d in fitted.decisions
        ],
        metrics=metrics,
        layers=layers,
        test_error={
            "final": errors[-1],
            "best": min(errors),
            "trailing": sum(trailing) / len(trailing),
            "trailing_epochs": len(trailing),
        },
        correct=pack_correct(fitted.correct),
        test_images=len(fitted.correct),
        weights_sha256=weights,
        warnings=fitted.warnings,
        histograms=fitted.histograms,
        kernels=ternary_kernels(fitted.network),
        provenance={
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": versions(),
            **fitted.execution,
            **({"replaces": replaced} if replaced else {}),
        },
    )


def _inputs(data: DataSource) -> dict[str, Any]:
    mean, std = data.channel_statistics()
    return {
        "size": list(data.image_size),
        "crop_fraction": data.crop_fraction,
        "mean": mean.tolist(),
        "std": std.tolist(),
        "classes": list(data.classes),
    }
