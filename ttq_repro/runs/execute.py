"""Training one run unless its record is there, under a lock, after its parent."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock
from safetensors.torch import load_file, save

from ttq_repro.data.load import load_data
from ttq_repro.errors import UserError
from ttq_repro.files import sha256, write_atomically
from ttq_repro.runs.hardware import precision_warning, processor
from ttq_repro.runs.logging import loggers
from ttq_repro.runs.provenance import commit, versions
from ttq_repro.runs.record import Record, pack_correct
from ttq_repro.runs.run import Run
from ttq_repro.runs.workspace import Workspace
from ttq_repro.training.fit import Fitted, fit


def execute(run: Run, *, say: Any = print) -> Record:
    """The record of ``run``: read if it is there, otherwise earned by training.

    Two processes that ask for the same run train it once; the second waits. A killed run goes on
    from its last whole epoch.

    Raises:
        UserError: the parent is missing and ``train_parent`` is false.
    """
    workspace = Workspace.of(run.config)
    path = workspace.record(run)
    lock = workspace.lock(run)
    lock.parent.mkdir(parents=True, exist_ok=True)
    parent = _parent_weights(run, workspace, say)
    with FileLock(lock):
        if path.is_file():
            say(f"{run.identity} seed {run.seed}: done already, see {path}")
            return Record.read(path)
        return _train(run, workspace, parent, say)


def _parent_weights(run: Run, workspace: Workspace, say: Any) -> Path | None:
    if run.config["parent"] == "none":
        return None
    if run.parent is None:
        return Path(run.config["parent"])
    path = workspace.weights(run.parent)
    if not path.is_file():
        if not run.config["train_parent"]:
            raise UserError(
                f"the parent {run.parent.identity} seed {run.seed} is missing: train it first with "
                f"train_parent=true ({run.parent.epochs} epochs), or give parent=PATH or none"
            )
        say(f"training the parent {run.parent.identity} first ({run.parent.epochs} epochs)")
        execute(run.parent, say=say)
    return path


def _train(run: Run, workspace: Workspace, parent: Path | None, say: Any) -> Record:
    config = run.config
    arrays = load_data(config["data"]["name"], config["data"]["root"], workspace.cache)
    scratch, checkpoint = workspace.scratch(run), workspace.resume_checkpoint(run)
    say(
        f"{run.identity} seed {run.seed}: {run.epochs} epochs on {arrays.name} ({arrays.source})"
        + (", going on from its checkpoint" if checkpoint.is_file() else "")
    )
    trainer = config["trainer"]
    if warning := precision_warning(trainer["precision"], trainer["accelerator"]):
        say(f"warning: {warning}")
    with loggers(run, scratch) as active:
        fitted = fit(
            config,
            arrays,
            load_file(parent) if parent else None,
            scratch=scratch,
            checkpoint=checkpoint,
            loggers=active,
        )
    weights = workspace.weights(run)
    state = {name: t.contiguous().cpu() for name, t in fitted.network.state_dict().items()}
    write_atomically(weights, save(state))
    record = _record(run, fitted, parent, weights)
    record.write(workspace.record(run))
    checkpoint.unlink(missing_ok=True)
    say(
        f"{run.identity} seed {run.seed}: test error {100 * record.test_error['final']:.2f}% "
        f"in the final epoch; record: {workspace.record(run)}"
    )
    return record


def _record(run: Run, fitted: Fitted, parent: Path | None, weights: Path) -> Record:
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
    trailing = max(1, len(errors) // 8)
    config = {key: value for key, value in run.config.items() if key != "workspace"}
    # Where the data lay is nobody's business but the machine's.
    config["data"] = config["data"] | {"root": None}
    return Record(
        identity=run.identity,
        seed=run.seed,
        config=config,
        parent=None
        if parent is None
        else {
            "identity": run.parent.identity if run.parent else None,
            "weights_sha256": sha256(parent),
        },
        decisions=[
            {"layer": d.name, "quantize": d.quantize, "reason": d.reason} for d in fitted.decisions
        ],
        metrics=metrics,
        layers=layers,
        test_error={
            "final": errors[-1],
            "best": min(errors),
            "trailing": sum(errors[-trailing:]) / trailing,
            "trailing_epochs": trailing,
        },
        correct=pack_correct(fitted.correct),
        test_images=len(fitted.correct),
        weights_sha256=sha256(weights),
        provenance={
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            **commit(),
            "versions": versions(),
            "processor": processor(),
            **fitted.execution,
        },
    )
