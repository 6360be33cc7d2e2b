"""Errors that a user can act on: the scripts print them as one line and exit with their code."""


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
