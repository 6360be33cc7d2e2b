"""One run trained by several processes, as its starter sees them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from ttq_repro.data.share import SMALLEST
from ttq_repro.errors import TrainingError, UserError
from ttq_repro.runs.processes import ProcessesError, run_together
from ttq_repro.runs.run import Run
from ttq_repro.workers import threads_each

#: What lies in the folder that starter and processes share: the run with what its record replaces,
#: and why it cannot go on.
CONFIG, REASON = "config.json", "reason"


def train_together(run: Run, replaced: list[dict[str, Any]]) -> None:
    """Train a run by ``run.processes`` processes of ``ttq_repro.runs.rank``.

    Processes of our own rather than Lightning's, which would start the command line again: that
    may be a plan or a sweep of many runs, whose locks this process holds.

    Raises:
        UserError, TrainingError: as the processes report it, or one of them was lost.
    """
    with TemporaryDirectory() as folder:
        Path(folder, CONFIG).write_text(json.dumps([run.config, replaced]))
        sys.stdout.flush()  # What was said so far comes before what they say.
        command = [sys.executable, "-m", "ttq_repro.runs.rank", folder]
        threads = threads_each(torch.get_num_threads(), run.processes)
        try:
            run_together(command, run.processes, threads)
        except ProcessesError as error:
            reason = Path(folder, REASON)
            if error.code < 0 or not reason.is_file():
                raise TrainingError(f"{error}, one of {run.processes} that train the run") from None
            kind = UserError if error.code == UserError.exit_code else TrainingError
            raise kind(reason.read_text()) from None


def check_shares(run: Run) -> None:
    """Refuse what one of a run's processes would have too little of.

    Raises:
        UserError: its share of a batch is too small, or there are fewer GPUs than processes.
    """
    if run.processes == 1:
        return
    devices = f"trainer.devices={run.processes}"
    if (size := run.config["recipe"]["batch_size"]) < SMALLEST * run.processes:
        raise UserError(f"{devices}: recipe.batch_size={size} is not {SMALLEST} images for each")
    gpus = torch.cuda.device_count()
    if run.config["trainer"]["accelerator"] != "cpu" and 0 < gpus < run.processes:
        raise UserError(f"{devices}: this machine has {gpus} GPU{'s' if gpus > 1 else ''}")
