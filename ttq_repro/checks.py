"""Checks of arguments and of options from a command line.

Those of arguments raise errors that name the argument. Words that stand for truth values or numbers
are refused: `no` on a command line is a string, and every string is true.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any, get_args

from ttq_repro.errors import UserError


def check_choice(argument: str, value: object, choices: Collection[object] | Any) -> None:
    """Refuse a value that is not among ``choices``, or those of a ``Literal`` type.

    Raises:
        ValueError: it is none of them.
    """
    known = get_args(choices) or tuple(choices)
    if value not in known:
        words = ", ".join(map(str, known))
        # The word "true" is one that a command line takes for the truth value.
        are_strings = all(isinstance(choice, str) for choice in known)
        kind = ", which is no string" if are_strings and not isinstance(value, str) else ""
        raise ValueError(f"{argument} must be one of {words}; got {value!r}{kind}")


def check_flag(argument: str, value: bool) -> None:
    """Refuse what is neither True nor False.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{argument} must be true or false, got {value!r}")


def check_number(argument: str, value: float) -> None:
    """Refuse what is no finite number.

    Raises:
        TypeError: it is no number.
        ValueError: it is NaN or infinite.
    """
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{argument} must be a number, got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{argument} must be finite, got {value}")


def check_share(argument: str, value: float) -> None:
    """Refuse a value outside [0, 1).

    Raises:
        TypeError: it is no number.
        ValueError: it is outside.
    """
    check_number(argument, value)
    if not 0 <= value < 1:
        raise ValueError(f"{argument} must lie in [0, 1), got {value}")


def check_whole(argument: str, value: int, lowest: int, highest: int | None = None) -> None:
    """Refuse what is no whole number from ``lowest`` on, up to ``highest`` if that is given.

    Raises:
        ValueError: it is something else.
    """
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or value < lowest or (highest is not None and value > highest):
        end = "" if highest is None else f" to {highest}"
        raise ValueError(f"{argument} must be a whole number from {lowest}{end}, got {value!r}")


def check_list(argument: str, value: list[Any], *, may_be_empty: bool = False) -> None:
    """Refuse what is no list, or one with nothing in it.

    Raises:
        TypeError: it is no list.
        ValueError: it is empty.
    """
    wanted = f"{argument} must be a list" + ("" if may_be_empty else " with something in it")
    if not isinstance(value, list):
        raise TypeError(wanted)
    if not value and not may_be_empty:
        raise ValueError(wanted)


def check_path(argument: str, value: str | os.PathLike[str]) -> None:
    """Refuse what is no path: a number, a list, nothing.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{argument} must be a path, got {value!r}")


def check_option(
    key: str, value: Any, check: Callable[..., None], *limits: Any, **options: Any
) -> None:
    """Apply one of the checks above to an option of a config, which its user spelled KEY=VALUE.

    Raises:
        UserError: the check refuses it.
    """
    try:
        check(f"{key}={value}:", value, *limits, **options)
    except (TypeError, ValueError) as error:
        raise UserError(str(error)) from None


@contextmanager
def refusals_of(subject: str) -> Iterator[None]:
    """Turn what is raised at something the user described into a line that names it.

    Raises:
        UserError: an import failed, an argument is of a wrong kind or value, or missing.
    """
    try:
        yield
    except (ImportError, TypeError, ValueError, KeyError) as error:
        raise UserError(f"{subject}: {in_a_line(error)}") from None


def headline(error: BaseException, *, of_any_kind: bool = False) -> str:
    """The first line of what an error says: some go on with whole command lines and advice.

    Args:
        of_any_kind: whether its class is to be told, as who reads it cannot know.
    """
    kind, text = type(error).__name__, str(error).strip().splitlines()
    if not text:
        return kind
    return f"{kind}: {text[0]}" if of_any_kind else text[0]


def in_a_line(error: BaseException) -> str:
    """What an error says, its lines joined."""
    if isinstance(error, KeyError):  # Says nothing but the key.
        return f"there is no {error}"
    return " ".join(str(error).split())
