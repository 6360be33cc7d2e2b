"""Loggers of a run, CSV and wandb; the record does not depend on them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from pydantic_core import ValidationError
from pytorch_lightning.loggers import CSVLogger, Logger

from ttq_repro.errors import UserError, headline
from ttq_repro.runs.run import Run
from ttq_repro.runs.wandb_run import finishing, link_trained, start, wandb_id
from ttq_repro.runs.workspace import Workspace

#: The most characters of a tag that wandb accepts.
LONGEST_TAG = 64


@contextmanager
def loggers(run: Run, workspace: Workspace, say: Callable[[str], Any]) -> Iterator[list[Logger]]:
    """The loggers that the run's config asks for, closed at the end.

    CSV: ``csv/version_N/metrics.csv`` in the run's scratch folder, one row per epoch. wandb:
    offline by default, so that it never prompts and sends nothing; online, the network is uploaded
    as well, once it is saved. If its server is unreachable, the run is logged offline instead, so
    that a lost connection does not stop a plan. A resumed run starts the next N and, offline, a new
    wandb folder; both start with the earlier epochs.

    Raises:
        UserError: wandb refuses an option, such as the name of the project, or a setting in the
            environment.
    """
    folder = workspace.scratch(run)
    config = run.config["logger"]
    active: list[Logger] = [CSVLogger(folder, name="csv")] if config["csv"] else []
    if config["wandb"] == "disabled":
        yield active
        return
    import wandb
    from pytorch_lightning.loggers import WandbLogger

    tags = [run.dataset, run.model, run.quantizer, run.config["recipe"]["name"], *run.options]
    # Started here rather than by the logger, which passes an option that wandb warns about.
    start_in = partial(
        start,
        workspace,
        project=config["project"],
        id=wandb_id(run.identity, run.seed),
        dir=folder,
        group=config["group"] or run.identity,
        name=run.label,
        tags=[tag[:LONGEST_TAG] for tag in tags],
        config=run.public_config,
        resume="allow",
    )
    try:
        wandb_run = start_in(mode=config["wandb"])
    except wandb.errors.UsageError as error:
        raise UserError(f"logger: {headline(error)}") from None
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise UserError(f"logger, or WANDB_... in the environment: {told}") from None
    except wandb.errors.CommError as error:
        say(f"warning: logger.wandb={config['wandb']}: {headline(error)}; logged offline instead")
        wandb_run = start_in(mode="offline")
    try:
        with finishing(wandb_run):
            wandb_run.define_metric("epoch")
            wandb_run.define_metric("*", step_metric="epoch")
            yield [*active, WandbLogger(experiment=wandb_run)]
            try:
                link_trained(wandb_run, run, workspace)
            except wandb.Error as error:
                say(f"warning: wandb did not accept the network: {error}")
    finally:
        if wandb_run.offline:
            show, upload = (
                shlex.join(["wandb", verb, wandb_run.settings.sync_dir])
                for verb in ("leet", "sync")
            )
            say(f"wandb: `{show}` shows the run, `{upload}` uploads it")
