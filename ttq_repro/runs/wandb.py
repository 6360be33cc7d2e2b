"""Runs as wandb shows them: a window on a run, never its source."""

from __future__ import annotations

import os
from pathlib import Path

from pytorch_lightning.loggers import WandbLogger

from ttq_repro.runs.run import Run


def wandb_logger(run: Run, folder: Path) -> WandbLogger:
    """A logger grouped by identity and named by seed; offline unless the config says otherwise."""
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    os.environ.setdefault("WANDB_SILENT", "true")
    config = run.config["logger"]
    logger = WandbLogger(
        project=config["project"],
        offline=config["wandb"] != "online",
        save_dir=folder,
        id=f"{run.identity}-seed{run.seed}",
        group=run.identity,
        name=f"{run.identity} seed {run.seed}",
        tags=[run.dataset, run.model, run.quantizer],
        config=run.config,
    )
    logger.experiment.define_metric("epoch")
    logger.experiment.define_metric("*", step_metric="epoch")
    return logger
