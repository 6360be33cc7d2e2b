"""Entry points of the scripts: Hydra's command line, and errors reported in one clear line."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, cast

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from ttq_repro.errors import UserError
from ttq_repro.files import CONFIGS, ROOT
from ttq_repro.runs.config import Config, completed
from ttq_repro.runs.overrides import hydra_as_user_error
from ttq_repro.runs.sweep import noted_outcome, summarized
from ttq_repro.runs.workspace import Workspace

#: Exit code of a process that Ctrl-C ended, as is usual in shells; here after SIGTERM, too.
INTERRUPTED = 130
#: Hydra's own switch for full stack traces.
FULL_ERROR = "HYDRA_FULL_ERROR"


def entry_point(
    name: str, *, folder: Path = CONFIGS, resumes: str | None = None
) -> Callable[[Callable[[Config], None]], Callable[[], None]]:
    """Make a script of a function that takes the config ``folder/NAME.yaml`` as plain data.

    It exits on a UserError, on overrides that Hydra refuses, and on Ctrl-C or SIGTERM with 130;
    each is reported in one line, the last of the output.

    Args:
        resumes: what the same command resumes from after it was stopped, if it does.
    """
    stopped = f"stopped; the same command resumes from {resumes}" if resumes else "stopped"

    def decorate(main: Callable[[Config], None]) -> Callable[[], None]:
        start = hydra.main(config_path=str(folder), config_name=name, version_base="1.3")(
            _job(main)
        )

        @functools.wraps(main)
        def script() -> None:
            # What a batch system sends when the time is up; by default it would end us at once.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            try:
                # Around Hydra: most of a sweep's time is spent in its launchers.
                with summarized():
                    _run(start)
            except KeyboardInterrupt:
                sys.stdout.flush()
                print(f"\n{stopped}", file=sys.stderr)
                sys.exit(INTERRUPTED)

        return script

    return decorate


def _run(start: Callable[[], None]) -> None:
    """Run Hydra, and report what it refuses in one line.

    Hydra itself would print pages and exit, unless told to raise (``HYDRA_FULL_ERROR``).
    """
    if os.environ.get(FULL_ERROR) == "1":
        return start()
    os.environ[FULL_ERROR] = "1"
    try:
        with hydra_as_user_error():
            start()
    except UserError as error:
        _leave(error)
    except Exception:
        # Printed here, so that the summary of a sweep comes after it.
        traceback.print_exc()
        sys.exit(1)


def _leave(error: UserError) -> NoReturn:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(error.exit_code)


def keep_caches_in(folder: Path) -> None:
    """Make libraries put their caches below ``folder``, unless the environment says otherwise."""
    # Matplotlib, which Lightning imports, would put its cache into the home folder.
    os.environ.setdefault("MPLCONFIGDIR", str(folder / "matplotlib"))
    compiled = str((folder / "compiled").absolute())
    # The default is a temporary folder, which may be gone at the next run. But torch's compiler
    # commands break at a blank in the path.
    if len(compiled.split()) == 1:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", compiled)


def _job(main: Callable[[Config], None]) -> Callable[[DictConfig], None]:
    """The function that Hydra calls with the config, once for every job of a sweep.

    The jobs of a sweep note their errors instead of exiting, so that the others continue.
    """

    def call(config: DictConfig) -> None:
        workspace = Workspace.of({"workspace": config.get("workspace")})
        if workspace.root != ROOT:  # Some scripts need none, and may run from a read-only checkout.
            workspace.check_writable()
        keep_caches_in(workspace.cache)
        hydra_config = HydraConfig.get()
        # As typed, with interpolations unresolved.
        typed = OmegaConf.to_container(hydra_config.overrides.task, resolve=False)
        with hydra_as_user_error():
            main(completed(config, str(hydra_config.job.config_name), cast(list[str], typed)))

    @functools.wraps(main)
    def job(config: DictConfig) -> None:
        # Errors are noted if a summary reports them at the end, otherwise reported at once.
        hydra_config = HydraConfig.get()
        if hydra_config.mode == RunMode.MULTIRUN and "summary" in (hydra_config.callbacks or {}):
            # joblib's workers default to a start method of their own, which does not work for the
            # processes that decode photographs.
            multiprocessing.set_start_method(None, force=True)
            with noted_outcome():
                call(config)
            return
        try:
            call(config)
        except UserError as error:
            _leave(error)

    return job
