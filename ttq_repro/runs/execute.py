"""Training one run unless its record is there, under a lock, after its parent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ttq_repro.data.load import load_data
from ttq_repro.data.share import WHOLE, Share
from ttq_repro.data.source import DataSource
from ttq_repro.errors import UserError
from ttq_repro.files import remove_leftovers, sha256, write_atomically
from ttq_repro.runs.failures import explained
from ttq_repro.runs.hardware import precision_warning, processor
from ttq_repro.runs.kernels import ternary_kernels
from ttq_repro.runs.logging import check_logging, loggers
from ttq_repro.runs.provenance import commit, versions
from ttq_repro.runs.record import Record, last_eighth, pack_correct, read_record
from ttq_repro.runs.run import Run
from ttq_repro.runs.together import check_shares, train_together
from ttq_repro.runs.workspace import Workspace
from ttq_repro.training.checkpoint import recorded_parent
from ttq_repro.training.device import device_of
from ttq_repro.training.fit import Fitted, fit
from ttq_repro.training.rehearsal import rehearse
from ttq_repro.workers import workers_each

Say = Callable[[str], Any]


@dataclass(frozen=True)
class Parent:
    """What a run starts from: identity (None: a file of the user's), weights and checksum."""

    identity: str | None
    weights: dict[str, Tensor]
    sha256: str


def execute(run: Run, *, weights_too: bool = False, say: Say = print) -> Record:
    """The record of ``run``: read if it is there, otherwise obtained by training.

    Two processes that ask for the same run train it once; the second waits. A killed run goes on
    from its last whole epoch, and one whose record is damaged is trained again.

    Args:
        weights_too: whether a record without the network's weights counts as no record.
        say: takes messages and warnings.

    Raises:
        UserError: an option is invalid, the parent is missing and ``train_parent`` is false, or its
            weights are unusable.
        TrainingError: the run cannot go on: it diverged, or the machine failed it.
    """
    with explained(run):
        workspace = Workspace.of(run.config)
        if (record := _done(run, workspace, weights_too, say)) is not None:
            return record
        # Before hours go into a parent.
        check_logging(run)
        rehearse(run.config)
        check_shares(run)
        parent = parent_of(run, workspace, say)
        lock = workspace.lock(run)
        lock.parent.mkdir(parents=True, exist_ok=True)
        with _held(lock, run, say):
            # Another process may have trained it meanwhile.
            if (record := _done(run, workspace, weights_too, say)) is not None:
                return record
            return _train(run, workspace, parent, say)


@contextmanager
def _held(path: Path, run: Run, say: Say) -> Iterator[None]:
    """The lock at ``path``; a user is told what the hours are for that it may be waited for."""
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        say(f"{run.name}: another process trains it, waiting")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _done(run: Run, workspace: Workspace, weights_too: bool, say: Say) -> Record | None:
    path = workspace.record(run)
    record = read_record(path, warn=_warner(say))
    if record is None or (weights_too and not workspace.weights(run).is_file()):
        return None
    say(f"{run.name}: done already, see {path}")
    return record


def parent_of(run: Run, workspace: Workspace, say: Say) -> Parent | None:
    """The network that ``run`` starts from, trained first if need be."""
    if run.config["parent"] == "none":
        return None
    if run.parent is None:
        path = Path(run.config["parent"])
        return Parent(None, _read_weights(path), sha256(path))
    path = workspace.weights(run.parent)
    record = read_record(workspace.record(run.parent), warn=_warner(say))
    if record is None or not path.is_file():
        if not run.config["train_parent"]:
            raise UserError(
                f"the parent {run.parent.name} is missing: train it first with "
                f"train_parent=true ({run.parent.epochs} epochs), or give parent=PATH or none"
            )
        say(f"training the parent {run.parent.name} first ({run.parent.epochs} epochs)")
        record = execute(run.parent, weights_too=True, say=say)
    if (digest := sha256(path)) != record.weights_sha256:
        raise UserError(
            f"{path}: its SHA-256 is not the one in its record; restore it, or delete "
            f"{workspace.record(run.parent)} to have the parent trained again"
        )
    return Parent(run.parent.identity, _read_weights(path), digest)


def _warner(say: Say) -> Say:
    """Says what it is given as a warning."""
    return lambda message: say(f"warning: {message}")


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise UserError(f"{path}: not a readable safetensors file ({error})") from None


def _train(run: Run, workspace: Workspace, parent: Parent | None, say: Say) -> Record:
    warn = _warner(say)
    data = data_of(run, workspace)
    checkpoint = workspace.resume_checkpoint(run)
    for path in (checkpoint, workspace.weights(run), workspace.record(run)):
        remove_leftovers(path)
    if checkpoint.is_file() and (fault := _fault(checkpoint, parent)):
        warn(f"{checkpoint} {fault}: the run starts again from its first epoch")
        checkpoint.unlink()
    if replaced := _replaced(run, workspace):
        warn(
            f"{run.name}: {workspace.weights(run)} is missing, the weights of its record "
            f"({100 * replaced[-1]['final']:.2f}% test error in the final epoch); it is trained "
            "again, and another draw takes the record's place"
        )
    say(
        f"{run.name}: {run.epochs} epochs on {data.name} ({data.source})"
        + (", going on from its checkpoint" if checkpoint.is_file() else "")
    )
    trainer = run.config["trainer"]
    # There may be a driver for a GPU that torch cannot use.
    device = device_of(trainer["accelerator"])
    if warning := precision_warning(trainer["precision"], device.type):
        warn(warning)
    if run.processes == 1:
        train_share(run, parent, data, WHOLE, say)
    else:
        train_together(run)
    checkpoint.unlink(missing_ok=True)
    record = Record.read(workspace.record(run))
    say(
        f"{run.name}: test error {100 * record.test_error['final']:.2f}% "
        f"in the final epoch; record: {workspace.record(run)}"
    )
    return record


def _replaced(run: Run, workspace: Workspace) -> list[dict[str, Any]]:
    """What is kept of the record that ``run`` is about to replace, and of those it had replaced."""
    record = read_record(workspace.record(run), warn=lambda _: None)
    if record is None:
        return []
    origin = {key: record.provenance.get(key) for key in ("finished", "commit", "device")}
    outcome = {"weights_sha256": record.weights_sha256, "final": record.test_error["final"]}
    return [*record.provenance.get("replaces", []), origin | outcome]


def _fault(checkpoint: Path, parent: Parent | None) -> str | None:
    """Why a run cannot go on from a checkpoint, None if it can."""
    try:
        started_from = recorded_parent(checkpoint)
    except ValueError:
        return "is damaged"
    except (KeyError, UnpicklingError):
        return "is of another version of this code"
    if started_from != (parent.sha256 if parent else None):
        return "started from other weights than the parent's"
    return None


def data_of(run: Run, workspace: Workspace) -> DataSource:
    """The data set of ``run``, for one of its processes."""
    workers = workers_each(run.config["trainer"]["workers"], run.processes)
    return load_data(run.config["data"], workspace.cache, workers, whole=run.is_result)


def train_share(run: Run, parent: Parent | None, data: DataSource, share: Share, say: Say) -> None:
    """Train ``run`` as one of its processes; the first one writes weights and record."""
    workspace, source = Workspace.of(run.config), commit()
    fit_share = partial(
        fit,
        run.config,
        data,
        parent.weights if parent else None,
        parent_sha256=parent.sha256 if parent else None,
        origin={**source, "processor": processor()},
        scratch=workspace.scratch(run),
        checkpoint=workspace.resume_checkpoint(run),
        say=lambda message: say(f"{run.name}: {message}"),
        share=share,
    )
    if share.rank > 0:
        fit_share(loggers=[])
        return
    with loggers(run, workspace, say) as active:
        fitted = fit_share(loggers=active)
        weights = workspace.weights(run)
        state = {name: t.contiguous().cpu() for name, t in fitted.network.state_dict().items()}
        write_atomically(weights, save(state))
        record = _record(run, fitted, parent, sha256(weights))
        if replaced := _replaced(run, workspace):
            record.provenance["replaces"] = replaced
        record.write(workspace.record(run))


def _record(run: Run, fitted: Fitted, parent: Parent | None, weights: str) -> Record:
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
        decisions=[
            {
                "layer": d.name,
                "quantize": d.quantize,
                "reason": d.reason,
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
        },
    )
