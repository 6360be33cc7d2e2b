"""Checks of a run, before hours are spent on it or on its parent."""

from __future__ import annotations

import torch

from ttq_repro.checks import check_choice, check_option
from ttq_repro.data.shard import SMALLEST
from ttq_repro.errors import UserError
from ttq_repro.humanize import counted
from ttq_repro.runs.run import Run
from ttq_repro.runs.wandb_run import has_key
from ttq_repro.runs.workspace import Workspace
from ttq_repro.training.preflight import preflight

WANDB_MODES = ("offline", "online", "disabled")


def check_run(run: Run) -> None:
    """Check all options of a run, and that this machine can train it.

    Raises:
        UserError: an option is invalid, what it describes cannot be made, an API key is missing,
            or there are too few images or GPUs for the run's processes.
    """
    _check_logging(run)
    preflight(run.config)
    if run.processes > 1:
        _check_shards(run)


def _check_logging(run: Run) -> None:
    mode = run.config["logger"]["wandb"]
    check_option("logger.wandb", mode, check_choice, WANDB_MODES)
    if mode == "online" and not has_key(Workspace.of(run.config)):
        raise UserError("logger.wandb=online: no API key for the server; run `wandb login`")


def _check_shards(run: Run) -> None:
    devices = f"trainer.devices={run.processes}"
    if (size := run.config["recipe"]["batch_size"]) < SMALLEST * run.processes:
        raise UserError(
            f"{devices}: recipe.batch_size={size} leaves fewer than {SMALLEST} images per process"
        )
    gpus = torch.cuda.device_count()
    if run.config["trainer"]["accelerator"] != "cpu" and 0 < gpus < run.processes:
        raise UserError(f"{devices}: this machine has only {counted(gpus, 'GPU')}")
