"""Composing Hydra configs into plain containers, also outside of Hydra's entry points."""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
import json
import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ttq_repro.errors import UserError, headline
from ttq_repro.files import CACHE, CONFIGS, ROOT
from ttq_repro.runs.hardware import fastest_precision, loader_workers
from ttq_repro.runs.overrides import check_keys, check_kinds, hydra_as_user_error
from ttq_repro.sealed import open_sealed, write_sealed

KEPT = CACHE / "configs"

Config = dict[str, Any]

OmegaConf.register_new_resolver("fastest_precision", fastest_precision, replace=True)
OmegaConf.register_new_resolver("loader_workers", loader_workers, replace=True)
OmegaConf.register_new_resolver(
    "if_none", lambda value, then, otherwise: then if value == "none" else otherwise, replace=True
)
# Cached, so that a sweep has one folder even if its jobs have a workspace each.
OmegaConf.register_new_resolver(
    "or_checkout",
    lambda folder: folder if isinstance(folder, str) and folder else str(ROOT),
    replace=True,
    use_cache=True,
)


def compose_config(name: str, overrides: list[str]) -> Config:
    """The resolved config ``configs/NAME.yaml`` under Hydra overrides, as plain containers.

    Raises:
        UserError: the config does not accept an override, or one is not text.
    """
    for override in overrides:
        if not isinstance(override, str):
            raise UserError(f"overrides: {override!r} is not text, such as 'seed=1'")
    return copy.deepcopy(_composed(name, tuple(overrides)))


@functools.cache
def _composed(name: str, overrides: tuple[str, ...]) -> Config:
    """The composed config, cached: Hydra takes 0.1 s for each, and plans and reports need hundreds.

    It is stored on disk under a checksum of everything that it depends on, and sealed by a checksum
    of its content. The stored configs are dropped once one is composed from other files or for
    other hardware. Nothing is stored if Hydra searches further folders (``--config-dir``), whose
    files may change as well.
    """
    if _searches_elsewhere():
        return _compose(name, list(overrides))
    folder = KEPT / _ingredients()
    path = folder / f"{_digest(name, *overrides)}.json"
    with contextlib.suppress(OSError, ValueError), open_sealed(path) as stream:
        return json.load(stream)  # Found, and not damaged.
    config = _compose(name, list(overrides))
    content = json.dumps(config).encode()
    if json.loads(content) == config:  # Unequal if a key is not a string.
        if not folder.is_dir():
            shutil.rmtree(KEPT, ignore_errors=True)
        with contextlib.suppress(OSError):  # The checkout may be read-only.
            write_sealed(path, lambda stream: stream.write(content))
    return config


def _compose(name: str, overrides: list[str]) -> Config:
    with hydra_as_user_error():
        return completed(_by_hydra(name, overrides), name, overrides)


def _by_hydra(name: str, overrides: Sequence[str]) -> DictConfig:
    if GlobalHydra.instance().is_initialized():
        return compose(name, [*overrides])
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return compose(name, [*overrides])


def _searches_elsewhere() -> bool:
    hydra = GlobalHydra.instance()
    if not hydra.is_initialized():
        return False
    places = (element.path for element in hydra.config_loader().get_search_path().get_path())
    files = [place for place in places if place and place.startswith("file://")]
    return any(Path(place.removeprefix("file://")) != CONFIGS for place in files)


@functools.cache
def _ingredients() -> str:
    """A digest of all that a composition depends on besides its name and overrides."""
    files = sorted(CONFIGS.rglob("*.yaml"))
    code = [Path(__file__).with_name(f"{name}.py").read_text() for name in ("config", "overrides")]
    contents = [f"{path.relative_to(CONFIGS)}\n{path.read_text()}" for path in files]
    hardware = [
        f"{fastest_precision(accelerator)} {loader_workers(accelerator)}"
        for accelerator in ("auto", "cpu")
    ]
    return _digest(version("hydra-core"), version("omegaconf"), *hardware, *code, *contents)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def choices(group: str) -> list[str]:
    """The names of the configs in ``configs/GROUP``, subfolders left out."""
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def completed(config: DictConfig, name: str, overrides: Sequence[str]) -> Config:
    """A config that Hydra composed from ``NAME`` and overrides, as resolved dicts and lists.

    Raises:
        UserError: a value is missing, or an override added or removed an option, or replaced a
            boolean or a number with another type. `no` is a string, and every string is true.
    """
    chosen = tuple(override for override in overrides if _is_choice(override))
    try:
        resolved = _plain(config)
        if len(chosen) < len(overrides):
            usual = _usual(name, chosen)
            check_keys(resolved, usual)
            check_kinds(resolved, usual)
    except OmegaConfBaseException as error:
        raise UserError(headline(error)) from None
    return resolved


def _plain(config: DictConfig, *, throw_on_missing: bool = True) -> Config:
    return OmegaConf.to_container(  # type: ignore[return-value]
        config, resolve=True, throw_on_missing=throw_on_missing
    )


def _is_choice(override: str) -> bool:
    """Whether an override chooses a file of ``configs/`` rather than setting a value."""
    return (CONFIGS / override.partition("=")[0].lstrip("+").partition("@")[0]).is_dir()


@functools.cache
def _usual(name: str, choices: tuple[str, ...]) -> Config:
    return _plain(_by_hydra(name, choices), throw_on_missing=False)


@functools.cache
def committed_choice(group: str, name: str) -> Config | None:
    """The node that ``configs/GROUP/NAME.yaml`` defines, None if there is no such file."""
    if not (CONFIGS / group / f"{name}.yaml").is_file():
        return None
    return compose_config("train", [f"{group}={name}"])[group]


def leaves(node: Config, above: str = "") -> dict[str, Any]:
    """The options of a node and of those below it, by their paths."""
    found: dict[str, Any] = {}
    for name, value in node.items():
        path = f"{above}{name}"
        found |= leaves(value, f"{path}.") if isinstance(value, dict) else {path: value}
    return found


def without(node: Config, *keys: str) -> Config:
    """The node without some of its keys."""
    return {key: value for key, value in node.items() if key not in keys}
