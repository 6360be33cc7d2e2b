"""The authors' released logs, recomputed: which of its epochs is the number in the paper?

The CSV files are not ours to distribute; a folder is given at run time.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from ttq_repro.errors import UserError
from ttq_repro.paper.rules import LogColumn

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
