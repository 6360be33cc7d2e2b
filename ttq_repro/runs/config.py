"""Composing and reading Hydra configs without an entry point of Hydra's own."""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from ttq_repro.runs.hardware import fastest_precision

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs"

Config = dict[str, Any]

OmegaConf.register_new_resolver("fastest_precision", fastest_precision, replace=True)


def compose_config(name: str, overrides: list[str]) -> Config:
    """The resolved config ``configs/NAME.yaml`` under Hydra overrides, as plain containers."""
    return copy.deepcopy(_composed(name, tuple(overrides)))


@functools.cache
def _composed(name: str, overrides: tuple[str, ...]) -> Config:
    """Composing takes Hydra a tenth of a second, and a plan asks for each parent many times."""
    if GlobalHydra.instance().is_initialized():
        return plain(compose(name, list(overrides)))
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return plain(compose(name, list(overrides)))


def choices(group: str) -> list[str]:
    """The names of the configs in ``configs/GROUP``, subfolders left out."""
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def plain(config: DictConfig) -> Config:
    """Resolved dicts and lists, in which a missing value is an error."""
    return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)  # type: ignore[return-value]


def committed_choice(group: str, name: str) -> Config | None:
    """The node that ``configs/GROUP/NAME.yaml`` defines, None if there is no such file."""
    path = CONFIGS / group / f"{name}.yaml"
    return plain(OmegaConf.load(path)) if path.is_file() else None  # type: ignore[arg-type]
