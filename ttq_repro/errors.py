"""Errors that a user can act on: the scripts print them as one line and exit with their code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """The user's input is unusable; the message says what is wrong and how to go on."""

    exit_code = 2


class DataError(UserError):
    """A data set or an image is missing, incomplete or damaged."""

    exit_code = 1


class TrainingError(UserError):
    """A run cannot continue (divergence, out of memory, no such device)."""

    exit_code = 1


class PackedFileError(UserError):
    """A file is not a packed network, or it is damaged or altered."""

    exit_code = 1


class NothingToDrawError(UserError):
    """None of the runs of a requested table or figure has a usable record."""


@contextmanager
def as_user_error(subject: str) -> Iterator[None]:
    """Turn an exception about something the user described into an error that names it.

    The body should only look up and call what the user described: in a longer one, mistakes of our
    own would be reported as the user's.

    Raises:
        UserError: an import failed, or an argument is missing, of a wrong type or value, or leads
            to a division by zero.
    """
    try:
        yield
    except (ArithmeticError, ImportError, TypeError, ValueError, KeyError) as error:
        raise UserError(f"{subject}: {headline(error)}") from None


def headline(error: BaseException, *, with_class: bool = False) -> str:
    """The first line of an error's message; some continue with whole command lines and advice.

    A line that ends in a colon is followed by the next one.

    Args:
        with_class: whether to prepend the error's class, for errors of which nothing is known.
    """
    kind, lines = type(error).__name__, str(error).strip().splitlines()
    if not lines:
        return kind
    text = " ".join(map(str.strip, lines[: 2 if lines[0].endswith(":") else 1]))
    if with_class:
        return f"{kind}: {text}"
    # The message of a KeyError is nothing but the key.
    return f"there is no {text}" if isinstance(error, KeyError) else text
