"""What the scripts share: one clear line for an error that a user can act on."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from ttq_repro.errors import UserError
from ttq_repro.runs.config import Config, plain


def entry_point(main: Callable[[Config], None]) -> Callable[[DictConfig], None]:
    """Wrap the function under ``@hydra.main``: hand it plain containers, and exit on UserError."""

    @functools.wraps(main)
    def wrapper(config: DictConfig) -> None:
        try:
            main(plain(config))
        except UserError as error:
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                raise  # The other jobs of the sweep go on.
            print(f"error: {error}", file=sys.stderr)
            sys.exit(error.exit_code)

    return wrapper
