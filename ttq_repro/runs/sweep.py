"""The summary at the end of a sweep: how many jobs are done, which failed, and why."""

from __future__ import annotations

import math
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from ttq_repro.errors import UserError, headline
from ttq_repro.files import write_atomically

OUTCOMES = "outcomes"
DONE = "done"
STOPPED = "stopped before it finished, or still running"


@contextmanager
def noted_outcome() -> Iterator[None]:
    """Note the outcome of the current job for the summary; errors are noted, not raised.

    Jobs may run in other processes and on other machines, but share the sweep's folder. For a job
    whose process is killed, the outcome noted at its start remains.
    """
    _note(STOPPED)
    try:
        yield
    except UserError as error:
        _note(str(error))
    except Exception as error:
        traceback.print_exc()
        _note(headline(error, with_class=True))
    else:
        _note(DONE)


def _note(outcome: str) -> None:
    hydra = HydraConfig.get()
    if outcome != DONE:
        outcome = f"{' '.join(hydra.overrides.task)}: {outcome}"
    path = Path(hydra.sweep.dir) / OUTCOMES / f"{hydra.job.num:06}"
    write_atomically(path, outcome.encode())


class Summary(Callback):
    """Registers a sweep when it starts, so that :func:`summarized` reports on it."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        global _sweep
        # Made absolute now, before the launcher makes the folder.
        folder = Path(config.hydra.sweep.dir).absolute() / OUTCOMES
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            # Hydra turns exceptions of callbacks into warnings, but not this one.
            sys.exit(f"error: {folder}: {error.strerror}")
        # An earlier sweep may have left outcomes of jobs that are not part of this one.
        for stale in _outcomes(folder):
            stale.unlink()
        # Otherwise joblib's workers warn about cleaned-up resources after our last line on Ctrl-C.
        os.environ.setdefault("PYTHONWARNINGS", "ignore:resource_tracker:UserWarning")
        _sweep = _Sweep(folder, _planned(config))


@dataclass(frozen=True)
class _Sweep:
    """The folder where the jobs of a sweep note their outcomes, and how many are planned."""

    folder: Path
    planned: int

    def tell(self) -> bool:
        """Print the outcomes, and return whether any job is not done."""
        outcomes = [path.read_text() for path in _outcomes(self.folder)]
        failures = [outcome for outcome in outcomes if outcome != DONE]
        planned = max(self.planned, len(outcomes))  # Another sweeper may make more jobs.
        waiting = planned - len(outcomes)
        done = f"{len(outcomes) - len(failures)} of {planned} jobs done"
        print(f"\n{done}, {waiting} not started" if waiting else f"\n{done}", flush=True)
        if failures:
            print("not done; the same command tries them again:", file=sys.stderr)
            for failure in failures:
                print(f"  {failure}", file=sys.stderr)
        return len(failures) + waiting > 0


#: The sweep of this process, if it has started one.
_sweep: _Sweep | None = None


@contextmanager
def summarized() -> Iterator[None]:
    """Report at the end how the jobs of a sweep went, if any; exit with 1 unless all are done.

    Not in a Hydra callback: a launcher that loses a job raises an error, after which Hydra calls
    none.
    """
    try:
        yield
    finally:
        incomplete = _sweep is not None and _sweep.tell()
    if incomplete:
        sys.exit(1)


def _outcomes(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*"))


def _planned(config: DictConfig) -> int:
    """How many jobs Hydra's own sweeper makes: all combinations of the values to sweep."""
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    overrides = parser.parse_overrides(list(config.hydra.overrides.task))
    # Of two overrides of one key, the last counts.
    values = {
        override.get_key_element(): len(list(override.sweep_string_iterator()))
        for override in overrides
        if override.is_discrete_sweep()
    }
    return math.prod(values.values())
