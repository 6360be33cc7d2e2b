"""What a sweep says at its end: how many jobs are done, which failed, and why."""

from __future__ import annotations

import atexit
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from ttq_repro.errors import UserError
from ttq_repro.files import write_atomically

OUTCOMES = "outcomes"
DONE = "done"
STOPPED = "stopped before its end, or still at work"


@contextmanager
def noted_outcome() -> Iterator[None]:
    """Leave the outcome of the current job where :class:`Summary` finds it; no error passes.

    Jobs may run in other processes and on other machines; the sweep's folder is what they share.
    One whose process is killed leaves what was noted when it began.
    """
    _note(STOPPED)
    try:
        yield
    except UserError as error:
        _note(str(error))
    except Exception as error:
        traceback.print_exc()
        _note(f"{type(error).__name__}: {error}")
    else:
        _note(DONE)


def _note(outcome: str) -> None:
    hydra = HydraConfig.get()
    if outcome != DONE:
        outcome = f"{' '.join(hydra.overrides.task)}: {outcome}"
    path = Path(hydra.sweep.dir) / OUTCOMES / f"{hydra.job.num:06}"
    write_atomically(path, outcome.encode())


class Summary(Callback):
    """Counts the outcomes when all jobs have ended; exits with 1 if one failed.

    A launcher that loses a job raises an error of its own, after which Hydra calls nobody: hence
    the end of the process.
    """

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        # Absolute, and before the launcher makes the folder.
        self._folder = Path(config.hydra.sweep.dir).absolute() / OUTCOMES
        atexit.register(self._tell)

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        atexit.unregister(self._tell)
        if self._tell():
            sys.exit(1)

    def _tell(self) -> bool:
        """Print the outcomes; whether any is a failure."""
        outcomes = [path.read_text() for path in sorted(self._folder.glob("[0-9]*"))]
        failures = [outcome for outcome in outcomes if outcome != DONE]
        print(f"\n{len(outcomes) - len(failures)} of {len(outcomes)} jobs done")
        if failures:
            print("failed; the same command tries them again:", file=sys.stderr)
            for failure in failures:
                print(f"  {failure}", file=sys.stderr)
        return bool(failures)
