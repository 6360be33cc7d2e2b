"""What the scripts share: one clear line for an error that a user can act on."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import MissingMandatoryValue

from ttq_repro.errors import UserError
from ttq_repro.runs.config import Config, plain
from ttq_repro.runs.sweep import noted_outcome
from ttq_repro.runs.workspace import Workspace


def entry_point(main: Callable[[Config], None]) -> Callable[[DictConfig], None]:
    """Wrap the function under ``@hydra.main``: hand it plain containers, and exit on UserError.

    The jobs of a sweep note their errors instead, so that the others go on.
    """

    @functools.wraps(main)
    def wrapper(config: DictConfig) -> None:
        # What Lightning imports would put its cache into the home folder.
        cache = Workspace.of({"workspace": config.get("workspace")}).cache
        os.environ.setdefault("MPLCONFIGDIR", str(cache / "matplotlib"))
        # By default in a folder of temporary files, where the next run may not find it any more.
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache / "compiled"))
        # Where a summary tells them in the end; a script without one says them at once.
        hydra = HydraConfig.get()
        if hydra.mode == RunMode.MULTIRUN and "summary" in (hydra.callbacks or {}):
            with noted_outcome():
                main(_complete(config))
            return
        try:
            main(_complete(config))
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(error.exit_code)

    return wrapper


def _complete(config: DictConfig) -> Config:
    try:
        return plain(config)
    except MissingMandatoryValue as error:
        raise UserError(str(error).splitlines()[0]) from None
