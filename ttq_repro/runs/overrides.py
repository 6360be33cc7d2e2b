"""Errors in overrides of a config, reported in one line each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from ttq_repro.checks import check_flag, check_number, check_option
from ttq_repro.errors import UserError, headline
from ttq_repro.files import CONFIGS

#: How Hydra's message about GROUP=null begins, which has no exception class of its own.
NO_CHOICE = "Config group override"
#: Options that are booleans by default but accept a word as well, which training checks.
WORDS_TOO = {"trainer.progress"}
#: Options that have no default, and nodes whose options are checked where they are read.
WITHOUT_DEFAULT = {"data.held_out"}
CHECKED_ELSEWHERE = {"recipe", "only"}
#: Nodes that may be null, as may their options.
NULL_TOO = {"distillation", "quantizer", "data.images"}


def check_keys(value: Any, usual: Any, key: str = "") -> None:
    """Compare the options in a config, or in its node ``key``, with those without overrides.

    The arguments of a class (``_target_``) are left to that class.

    Raises:
        UserError: an option was added, perhaps mistyped, or removed.
    """
    if not isinstance(value, dict) or not isinstance(usual, dict):
        return
    is_open = "_target_" in value or key in CHECKED_ELSEWHERE
    known = [_path(key, name) for name in usual]
    known += sorted(path for path in WITHOUT_DEFAULT if path.rpartition(".")[0] == key)
    for path in (_path(key, name) for name in value):
        if path not in known and not is_open:
            raise UserError(f"{path}: there is no such option; known are {', '.join(known)}")
    for name in usual:
        path = _path(key, name)
        if name in value:
            check_keys(value[name], usual[name], path)
        elif not is_open or name == "name":
            raise UserError(f"~{path}: this option cannot be removed")


def check_kinds(value: Any, usual: Any, key: str = "") -> None:
    """Compare the types in a config, or in its node ``key``, with those without overrides.

    Raises:
        UserError: a boolean, a number or a node was replaced by something else. `no` is a string,
            and every string is true.
    """
    if isinstance(value, list) and isinstance(usual, list):
        value, usual = dict(enumerate(value)), dict(enumerate(usual))
    if isinstance(value, dict) and isinstance(usual, dict):
        for name in usual:
            if name in value:
                check_kinds(value[name], usual[name], _path(key, name))
    elif isinstance(usual, bool):
        if key not in WORDS_TOO:
            check_option(key, value, check_flag)
    elif value is None and NULL_TOO & {key, key.partition(".")[0]}:
        return
    elif isinstance(usual, int | float):
        check_option(key, value, check_number)
    elif isinstance(usual, dict) and key.partition(".")[0] not in CHECKED_ELSEWHERE:
        known = ", ".join(_path(key, name) for name in usual)
        raise UserError(f"{key}={value}: stands for several options, {known}")


def _path(key: str, name: Any) -> str:
    """The full name of an option in the node ``key``; the root is the node ""."""
    return f"{key}.{name}".removeprefix(".")


@contextmanager
def hydra_as_user_error() -> Iterator[None]:
    """Report in one line what Hydra reports in up to forty.

    Raises:
        UserError: Hydra refuses an override.
    """
    try:
        yield
    except HydraException as error:
        raise _refusal(error) from None
    except ValueError as error:
        if not str(error).startswith(NO_CHOICE):
            raise
        raise UserError(f"a config group must have a choice: {error}") from None


def _refusal(error: HydraException) -> UserError:
    if isinstance(error, OverrideParseException):
        told = _joined(error).partition(" See http")[0]
        return UserError(f"{error.override}: {told}")
    if isinstance(error, MissingConfigException) and "/" in str(error.missing_cfg_file):
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        if not (known := error.options):  # All choices of the group are in subfolders.
            group, _, name = str(error.missing_cfg_file).partition("/")
            known = _choices_below(CONFIGS / group)
        return UserError(f"{group}={name}: must be one of {', '.join(known)}")
    told = _joined(error).partition(" Config search path:")[0]
    cause = error.__cause__
    why = f" ({headline(cause)})" if isinstance(cause, OmegaConfBaseException) else ""
    return UserError(f"{told}{why}".strip())


def _choices_below(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder).with_suffix("")) for p in folder.rglob("*.yaml"))


def _joined(error: Exception) -> str:
    """The whole message in one line: Hydra says in the last lines which option is meant."""
    return " ".join(str(error).split())
