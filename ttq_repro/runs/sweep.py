"""What a sweep says at its end: how many jobs are done, which failed, and why."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from ttq_repro.errors import UserError
from ttq_repro.files import write_atomically

OUTCOMES = "outcomes"
DONE = "done"


def note_outcome(error: Exception | None) -> None:
    """Leave the outcome of the current job where :class:`Summary` finds it.

    Jobs may run in other processes and on other machines; the sweep's folder is what they share.
    """
    hydra = HydraConfig.get()
    outcome = DONE
    if error is not None:
        why = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        outcome = f"{' '.join(hydra.overrides.task)}: {why}"
        if not isinstance(error, UserError):
            traceback.print_exception(error)
    folder = Path(hydra.sweep.dir) / OUTCOMES
    write_atomically(folder / f"{hydra.job.num:06}", outcome.encode())


class Summary(Callback):
    """Counts the outcomes when all jobs have ended; exits with 1 if one failed."""

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        files = sorted((Path(config.hydra.sweep.dir) / OUTCOMES).iterdir())
        outcomes = [path.read_text() for path in files]
        failures = [outcome for outcome in outcomes if outcome != DONE]
        print(f"\n{len(outcomes) - len(failures)} of {len(outcomes)} jobs done")
        if failures:
            print("failed; the same command tries them again:", file=sys.stderr)
            for failure in failures:
                print(f"  {failure}", file=sys.stderr)
            sys.exit(1)
