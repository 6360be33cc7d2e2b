"""Training a run as one of its processes; the first one writes weights and record."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from safetensors.torch import save

from ttq_repro.data.load import load_data
from ttq_repro.data.shard import Shard
from ttq_repro.data.source import DataSource
from ttq_repro.files import sha256, write_atomically
from ttq_repro.runs.hardware import processor
from ttq_repro.runs.loggers import loggers
from ttq_repro.runs.outcome import record_of
from ttq_repro.runs.provenance import commit
from ttq_repro.runs.run import Run
from ttq_repro.runs.trained import Parent
from ttq_repro.runs.workspace import Workspace
from ttq_repro.training.fit import fit
from ttq_repro.workers import workers_each


def data_of(run: Run, workspace: Workspace) -> DataSource:
    """The data set of ``run``, for one of its processes."""
    workers = workers_each(run.config["trainer"]["workers"], run.processes)
    return load_data(run.config["data"], workspace.cache, workers, whole=run.is_result)


def train_shard(
    run: Run,
    parent: Parent | None,
    data: DataSource,
    shard: Shard,
    replaced: list[dict[str, Any]],
    say: Callable[[str], Any],
) -> None:
    """Train ``run`` as one of its processes; the first one writes weights and record.

    Args:
        replaced: summaries of the records that this one replaces, to be kept in it.
    """
    workspace, source = Workspace.of(run.config), commit()
    fit_shard = partial(
        fit,
        run.config,
        data,
        parent.weights if parent else None,
        parent_sha256=parent.sha256 if parent else None,
        origin={**source, "processor": processor()},
        checkpoint=workspace.resume_checkpoint(run),
        say=lambda message: say(f"{run.name}: {message}"),
        shard=shard,
    )
    if shard.rank > 0:
        fit_shard(loggers=[])
        return
    with loggers(run, workspace, say) as active:
        fitted = fit_shard(loggers=active)
        weights = workspace.weights(run)
        state = {name: t.contiguous().cpu() for name, t in fitted.network.state_dict().items()}
        write_atomically(weights, save(state))
        record = record_of(run, data, fitted, parent, sha256(weights), replaced)
        record.write(workspace.record(run))
