"""Windows on a run, CSV and wandb; the record is drawn from neither."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import CSVLogger, Logger

from ttq_repro.errors import UserError
from ttq_repro.runs.run import Run
from ttq_repro.runs.workspace import Workspace

WANDB_MODES = ("offline", "online", "disabled")


@contextmanager
def loggers(run: Run, workspace: Workspace, say: Callable[[str], Any]) -> Iterator[list[Logger]]:
    """The loggers that the run's config asks for, closed at the end.

    CSV: ``csv/version_N/metrics.csv`` in the run's scratch folder, a row an epoch; a resumed run
    starts the next N. wandb: offline unless asked otherwise, so that it never prompts and sends
    nothing; what it would keep in the home folder lies in the cache.
    """
    folder = workspace.scratch(run)
    config = run.config["logger"]
    if config["wandb"] not in WANDB_MODES:
        raise UserError(f"logger.wandb={config['wandb']}: must be one of {', '.join(WANDB_MODES)}")
    active: list[Logger] = [CSVLogger(folder, name="csv")] if config["csv"] else []
    if config["wandb"] == "disabled":
        yield active
        return
    # Its own error reports are the one thing that wandb sends in offline mode.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    for kind in ("CACHE", "CONFIG", "DATA"):
        os.environ.setdefault(f"WANDB_{kind}_DIR", str(workspace.cache / "wandb"))
    import wandb
    from pytorch_lightning.loggers import WandbLogger

    # Begun here rather than by the logger, which hands over an option that wandb warns about.
    window = wandb.init(
        project=config["project"],
        mode=config["wandb"],
        dir=folder,
        id=f"{run.identity}-seed{run.seed}",
        group=config["group"] or run.identity,
        name=run.name,
        tags=[run.dataset, run.model, run.quantizer, run.config["recipe"]["name"]],
        config=run.public_config,
        resume="allow",
        settings=wandb.Settings(silent=True, console="off"),
    )
    window.define_metric("epoch")
    window.define_metric("*", step_metric="epoch")
    try:
        yield [*active, WandbLogger(experiment=window)]
    finally:
        window.finish()
        if config["wandb"] == "offline":
            kept = Path(window.settings.sync_dir)
            say(f"wandb: `wandb leet {kept}` shows it, `wandb sync {kept}` uploads it")
