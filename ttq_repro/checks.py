"""Checks of arguments and of options from a command line.

The checks of arguments raise errors that name the argument. Words for truth values or numbers are
refused: `no` on a command line is a string, and every non-empty string is true.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection
from numbers import Integral, Real
from typing import Any, get_args

from ttq_repro.errors import UserError


def check_choice(argument: str, value: object, choices: Collection[object] | Any) -> None:
    """Refuse a value that is not among ``choices``, which may be a ``Literal`` type.

    Raises:
        ValueError: the value is not one of the choices.
    """
    known = get_args(choices) or tuple(choices)
    if value not in known:
        words = ", ".join(map(str, known))
        # On a command line the word "true" is read as the truth value, not as a string.
        are_strings = all(isinstance(choice, str) for choice in known)
        kind = ", which is not a string" if are_strings and not isinstance(value, str) else ""
        raise ValueError(f"{argument} must be one of {words}; got {value!r}{kind}")


def check_flag(argument: str, value: bool) -> None:
    """Refuse a value that is neither True nor False.

    Raises:
        TypeError: the value is something else.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{argument} must be true or false, got {value!r}")


def check_number(argument: str, value: float, lowest: float = -math.inf) -> None:
    """Refuse a value that is not a finite number, or is below ``lowest``.

    Raises:
        TypeError: the value is not a number.
        ValueError: the value is NaN, infinite or too low.
    """
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{argument} must be a number, got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{argument} must be finite, got {value}")
    if value < lowest:
        raise ValueError(f"{argument} must be at least {lowest:g}, got {value}")


def check_fraction(argument: str, value: float) -> None:
    """Refuse a value outside [0, 1).

    Raises:
        TypeError: the value is not a number.
        ValueError: the value is outside.
    """
    check_number(argument, value)
    if not 0 <= value < 1:
        raise ValueError(f"{argument} must lie in [0, 1), got {value}")


def check_whole(argument: str, value: int, lowest: int, highest: int | None = None) -> None:
    """Refuse a value that is not a whole number from ``lowest`` to ``highest``, if that is given.

    Raises:
        ValueError: the value is something else.
    """
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or value < lowest or (highest is not None and value > highest):
        end = "" if highest is None else f" to {highest}"
        raise ValueError(f"{argument} must be a whole number from {lowest}{end}, got {value!r}")


def check_list(argument: str, value: list[Any], *, may_be_empty: bool = False) -> None:
    """Refuse a value that is not a list, or an empty list unless ``may_be_empty``.

    Raises:
        TypeError: the value is not a list.
        ValueError: the list is empty.
    """
    wanted = f"{argument} must be a " + ("list" if may_be_empty else "non-empty list")
    if not isinstance(value, list):
        raise TypeError(wanted)
    if not value and not may_be_empty:
        raise ValueError(wanted)


def check_fields(
    argument: str, value: dict[str, Any], required: Collection[str], optional: Collection[str] = ()
) -> None:
    """Refuse a value that is not a dict with all ``required`` keys and none beyond ``optional``.

    Raises:
        TypeError: the value is not a dict.
        ValueError: a key is missing or unknown.
    """
    known = [*required, *optional]
    if not isinstance(value, dict):
        raise TypeError(f"{argument} must consist of {', '.join(known)}")
    if missing := [key for key in required if key not in value]:
        raise ValueError(f"{argument} there is no {', '.join(missing)}")
    if unknown := [str(key) for key in value if key not in known]:
        raise ValueError(f"{argument} unknown: {', '.join(unknown)}; known are {', '.join(known)}")


def check_text(argument: str, value: str) -> None:
    """Refuse a value that is not text, or is empty.

    Raises:
        TypeError: the value is not text.
        ValueError: the text is empty.
    """
    if not isinstance(value, str):
        raise TypeError(f"{argument} must be text, got {value!r}")
    if not value:
        raise ValueError(f"{argument} must not be empty")


def check_path(argument: str, value: str | os.PathLike[str]) -> None:
    """Refuse a value that is not a path, such as a number, a list, None or an empty string.

    Raises:
        TypeError: the value is not a path.
    """
    if not isinstance(value, str | os.PathLike) or not str(value):
        raise TypeError(f"{argument} must be a path, got {value!r}")


def check_option(
    key: str, value: Any, check: Callable[..., None], *limits: Any, **options: Any
) -> None:
    """Apply one of the checks above to a config option, which the user wrote as KEY=VALUE.

    Raises:
        UserError: the check refuses the value.
    """
    try:
        check(f"{key}={value}:", value, *limits, **options)
    except (TypeError, ValueError) as error:
        raise UserError(str(error)) from None
