"""Execution of one run: after its parent, under a lock, and only if it has no record yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from filelock import FileLock, Timeout

from ttq_repro.data.shard import WHOLE
from ttq_repro.errors import UserError
from ttq_repro.files import obstacle, remove_leftovers
from ttq_repro.humanize import counted
from ttq_repro.runs.check import check_run
from ttq_repro.runs.distributed import train_distributed
from ttq_repro.runs.failures import as_training_error
from ttq_repro.runs.hardware import precision_warning
from ttq_repro.runs.outcome import replaced_records
from ttq_repro.runs.record import OtherSchemaError, Record, read_record
from ttq_repro.runs.run import Run
from ttq_repro.runs.train import data_of, train_shard
from ttq_repro.runs.trained import Parent, read_parent, record_beside_weights
from ttq_repro.runs.workspace import Workspace
from ttq_repro.training.checkpoint import recorded_parent
from ttq_repro.training.device import device_of

Say = Callable[[str], Any]


def execute(run: Run, *, weights_too: bool = False, say: Say = print) -> Record:
    """Return the record of ``run``: read it if it exists, otherwise train the run.

    If two processes ask for the same run, one trains it and the other waits. A killed run resumes
    after its last complete epoch, and one whose record is damaged is trained again.

    Args:
        weights_too: whether a record without the network's weights counts as missing.
        say: called with messages and warnings.

    Raises:
        UserError: an option is invalid, the parent is missing and ``train_parent`` is false, its
            weights are unusable, or its files cannot be written or are of another version of this
            project.
        TrainingError: the run cannot continue: it diverged, or the machine failed.
    """
    with as_training_error(run):
        workspace = Workspace.of(run.config)
        if (record := _done(run, workspace, weights_too, say)) is not None:
            return record
        check_run(run)
        parent = _parent_of(run, workspace, say)
        lock = workspace.lock(run)
        lock.parent.mkdir(parents=True, exist_ok=True)
        with _held(lock, run, say):
            # Another process may have trained it in the meantime.
            if (record := _done(run, workspace, weights_too, say)) is not None:
                return record
            return _train(run, workspace, parent, say)


@contextmanager
def _held(path: Path, run: Run, say: Say) -> Iterator[None]:
    """Hold the lock at ``path``; tell the user if it is taken, as the wait may last hours."""
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        say(f"{run.name}: another process is training it; waiting")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _done(run: Run, workspace: Workspace, weights_too: bool, say: Say) -> Record | None:
    warn = _warner(say)
    if weights_too:
        record = record_beside_weights(run, workspace, warn)
    else:
        record = read_record(workspace.record(run), warn)
    if record is not None:
        say(f"{run.name}: done already, see {workspace.record(run)}")
    return record


def _parent_of(run: Run, workspace: Workspace, say: Say) -> Parent | None:
    """The network that ``run`` starts from, trained first if need be."""
    parent = run.parent
    if (
        parent is not None
        and run.config["train_parent"]
        # A damaged record is reported when the parent is trained.
        and record_beside_weights(parent, workspace, warn=lambda _: None) is None
    ):
        say(f"training the parent {parent.name} first ({counted(parent.epochs, 'epoch')})")
        execute(parent, weights_too=True, say=say)
    return read_parent(run, workspace, _warner(say))


def _warner(say: Say) -> Say:
    """``say``, with messages marked as warnings."""
    return lambda message: say(f"warning: {message}")


def _train(run: Run, workspace: Workspace, parent: Parent | None, say: Say) -> Record:
    warn = _warner(say)
    checkpoint = workspace.resume_checkpoint(run)
    for path in (checkpoint, workspace.weights(run), workspace.record(run)):
        if why := obstacle(path):
            raise UserError(f"{path}: {why}")
        remove_leftovers(path)
    data = data_of(run, workspace)
    if checkpoint.is_file() and (fault := _fault(checkpoint, parent)):
        warn(f"{checkpoint} {fault}: the run starts again from its first epoch")
        checkpoint.unlink()
    _keep_others(workspace.record(run))
    if replaced := replaced_records(run, workspace):
        warn(
            f"{run.name}: {workspace.weights(run)} is missing, so the run is trained again; this "
            f"replaces its record ({100 * replaced[-1]['final']:.2f}% test error in the final "
            "epoch), and the new numbers may differ"
        )
    say(
        f"{run.name}: {counted(run.epochs, 'epoch')} on {data.name} ({data.source})"
        + (", resuming from its checkpoint" if checkpoint.is_file() else "")
    )
    trainer = run.config["trainer"]
    # Ask torch: there may be a driver for a GPU that torch cannot use.
    device = device_of(trainer["accelerator"])
    if warning := precision_warning(trainer["precision"], device.type):
        warn(warning)
    if run.processes == 1:
        train_shard(run, parent, data, WHOLE, replaced, say)
    else:
        train_distributed(run, replaced)
    checkpoint.unlink(missing_ok=True)
    record = Record.read(workspace.record(run))
    say(
        f"{run.name}: test error {100 * record.test_error['final']:.2f}% "
        f"in the final epoch; record: {workspace.record(run)}"
    )
    return record


def _keep_others(record: Path) -> None:
    """Refuse to overwrite a record of another version of this project.

    Raises:
        UserError: it is one.
    """
    try:
        Record.read(record)
    except OtherSchemaError as error:
        raise UserError(f"{error}; to train the run again, move this record away") from None
    except (OSError, ValueError):
        return  # Missing or damaged.


def _fault(checkpoint: Path, parent: Parent | None) -> str | None:
    """Why a run cannot resume from a checkpoint; None if it can."""
    try:
        started_from = recorded_parent(checkpoint)
    except ValueError:
        return "is damaged"
    except (KeyError, UnpicklingError):
        return "is of another version of this code"
    if started_from != (parent.sha256 if parent else None):
        return "started from other weights than the parent's"
    return None
