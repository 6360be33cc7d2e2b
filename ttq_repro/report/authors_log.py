"""The authors' released logs, recomputed: which of its epochs is the number in the paper?

The CSV files are not ours to distribute; a folder is given at run time.
"""

from __future__ import annotations

import csv
import warnings
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from ttq_repro.errors import UserError
from ttq_repro.paper.rules import Claim, ErrorDrop, LayerChange, LogColumn
from ttq_repro.report.quantities import error_drop

#: The window, in epochs, of the moving average whose minimum is Table 1's figure for ResNet-20.
WINDOW = 20


@dataclass(frozen=True)
class LogSummary:
    """Errors of one log in percent.

    Attributes:
        final: the last epoch's; best: the lowest, which no test set should select.
        trailing: mean over the last eighth of the epochs, as in our records.
        lowest_mean: the lowest mean over ``WINDOW`` epochs in a row.
    """

    final: float
    best: float
    trailing: float
    lowest_mean: float

    def __str__(self) -> str:
        return (
            f"final {self.final:.2f}, best {self.best:.2f}, trailing mean {self.trailing:.2f}, "
            f"lowest {WINDOW}-epoch mean {self.lowest_mean:.2f}"
        )


def checked_folder(authors_log: str | None) -> Path | None:
    """The folder of the logs that a user names, if any.

    Raises:
        UserError: there is no such folder.
    """
    if authors_log is None:
        return None
    if not Path(authors_log).is_dir():
        raise UserError(f"authors_log={authors_log}: no such folder")
    return Path(authors_log)


def holds(folder: Path, file: str) -> bool:
    """Whether a log is in the folder; that it is not is warned about."""
    found = (folder / file).is_file()
    if not found:
        warnings.warn(f"authors_log={folder}: there is no {file}")
    return found


def number_in_log(claim: Claim, folder: Path) -> str | None:
    """What the authors' log holds of a claim; None if it is not there.

    Raises:
        UserError: the log is not readable.
    """
    if claim.log is None or not holds(folder, claim.log.file):
        return None
    values = read_column(folder, claim.log)
    match getattr(claim.rule, "quantity", None):
        case LayerChange():
            return f"{values[0]:.2f} after epoch 1, {values[-1]:.2f} after epoch {len(values)}"
        case ErrorDrop(epoch, window):
            change = error_drop(values, epoch, window)
            return None if change is None else f"{change:+.2f}"
        case _:
            return str(summarize(values))


def read_column(folder: Path, source: LogColumn) -> list[float]:
    """One value an epoch.

    Raises:
        UserError: the file or the column is not there, or holds something else than numbers.
    """
    path = folder / source.file
    try:
        with path.open(newline="") as stream:
            values = [float(row[source.column]) for row in csv.DictReader(stream)]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"authors_log={folder}: cannot read {path.name} ({error})") from None
    if not values:
        raise UserError(f"authors_log={folder}: {path.name} is empty")
    return values


def summarize(errors: list[float]) -> LogSummary:
    """Sums up errors, in shares of images, of every epoch of a run."""
    percent = [100 * error for error in errors]
    means = [mean(percent[end - WINDOW : end]) for end in range(WINDOW, len(percent) + 1)]
    return LogSummary(
        final=percent[-1],
        best=min(percent),
        trailing=mean(percent[-max(1, len(percent) // 8) :]),
        lowest_mean=min(means, default=mean(percent)),
    )
