"""Errors that a user can act on: the scripts print them as one line and exit with their code."""


class UserError(Exception):
    """Something the user handed over is unusable; the message says what and how to go on."""

    exit_code = 2


class DataError(UserError):
    """A data set or an image is missing, incomplete or damaged."""

    exit_code = 1


class TrainingError(UserError):
    """A run cannot go on (divergence, no memory, no such device)."""

    exit_code = 1


class PackedFileError(UserError):
    """A file is not a packed network, or a damaged or altered one."""

    exit_code = 1


class NothingToDrawError(UserError):
    """A table or figure was asked for, and none of its runs has a record that it can use."""
