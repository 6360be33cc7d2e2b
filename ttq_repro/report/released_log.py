"""The authors' released training logs: read, summarized, and compared with our results.

The CSV files are not ours to distribute, so the user names their folder at run time.
"""

from __future__ import annotations

import csv
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ttq_repro.checks import check_option, check_path
from ttq_repro.errors import UserError
from ttq_repro.paper.claims import CIFAR10_LOG, LOGS
from ttq_repro.paper.rules import Claim, ErrorDrop, LayerChange
from ttq_repro.report.captions import stand_in
from ttq_repro.report.quantities import error_drop
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.record import last_eighth

#: The epochs of the moving average whose minimum is the number in Table 1 for ResNet-20.
WINDOW = 20
#: The epochs of a log that follow the paper's schedule (drops at 80 and 120, end at 160).
PAPER_EPOCHS = 160
#: Passes over the data per epoch in the log of ResNet-20.
PASSES = 2
BLOCKS_PER_STAGE = 3
NAME = "released log"
CAPTION = (
    f" The released log is one run of the authors' code. Its first {PAPER_EPOCHS} epochs, of two "
    "passes over the data each, are drawn over the width of our schedule."
)


@dataclass(frozen=True)
class LogSummary:
    """Errors of one log in percent.

    Attributes:
        final: of the last epoch; best: the lowest, not to be selected on a test set.
        trailing: the mean of the last eighth of the epochs, as in our records.
        lowest_mean: the lowest mean of ``WINDOW`` consecutive epochs.
    """

    final: float
    best: float
    trailing: float
    lowest_mean: float

    @classmethod
    def of(cls, errors: NDArray[np.float64]) -> LogSummary:
        """Summarize the errors of every epoch of a run, given as shares of images."""
        percent = (100 * errors).tolist()
        means = sliding_window_view(percent, min(WINDOW, len(percent))).mean(-1)
        return cls(
            final=percent[-1],
            best=min(percent),
            trailing=mean(last_eighth(percent)),
            lowest_mean=float(means.min()),
        )

    def __str__(self) -> str:
        return (
            f"final {self.final:.2f}, best {self.best:.2f}, trailing mean {self.trailing:.2f}, "
            f"lowest {WINDOW}-epoch mean {self.lowest_mean:.2f}"
        )


@dataclass(frozen=True)
class ReleasedLog:
    """A log in the folder of the authors' logs: one row per epoch, errors in [0, 1]."""

    folder: Path
    file: str
    rows: list[dict[str, str]]

    @classmethod
    def read(cls, folder: Path, file: str) -> ReleasedLog:
        """Read a log.

        Raises:
            UserError: it is not a table, or has no rows.
        """
        try:
            with (folder / file).open(newline="") as stream:
                rows = list(csv.DictReader(stream))
        except (OSError, ValueError, csv.Error) as error:
            raise UserError(f"authors_log={folder}: cannot read {file} ({error})") from None
        if not rows:
            raise UserError(f"authors_log={folder}: {file} is empty")
        return cls(folder, file, rows)

    def __getitem__(self, column: str) -> NDArray[np.float64]:
        """The values of the log's ``column``, one per epoch.

        Raises:
            UserError: there is no such column of numbers.
        """
        try:
            return np.array([float(row[column]) for row in self.rows])
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"authors_log={self.folder}: cannot read {self.file} ({error})"
            ) from None

    def scale(self, layer: str, scale: str) -> NDArray[np.float64]:
        """``positive_scale`` or ``negative_scale`` of a layer of our ResNet-20."""
        theirs = {"positive_scale": "Wp", "negative_scale": "Wn"}[scale]
        return self[f"{released_name(layer)}/{theirs}"]


def checked_folder(authors_log: str | None) -> Path | None:
    """The folder of logs that the user named, if any.

    Raises:
        UserError: there is no such folder.
    """
    if authors_log is None:
        return None
    check_option("authors_log", authors_log, check_path)
    if not Path(authors_log).is_dir():
        raise UserError(f"authors_log={authors_log}: no such folder")
    return Path(authors_log)


def find(folder: Path, file: str) -> ReleasedLog | None:
    """A log of the folder; None, with a warning, if it is missing.

    Raises:
        UserError: it cannot be read.
    """
    if (folder / file).is_file():
        return ReleasedLog.read(folder, file)
    warnings.warn(f"authors_log={folder}: there is no {file}")
    return None


def beside(cells: list[Cell], folder: str | None, file: str = CIFAR10_LOG) -> ReleasedLog | None:
    """The log to draw beside ``cells``, None if missing.

    It is drawn only beside results on the paper's data.
    """
    if not folder or stand_in(cells[0]):
        return None
    return find(Path(folder), file)


def number_in_log(claim: Claim, folder: Path) -> str | None:
    """What the authors' log says about a claim, None if it says nothing.

    Raises:
        UserError: the log cannot be read.
    """
    place = LOGS.get(claim.id)
    if place is None or (log := find(folder, place.file)) is None:
        return None
    values = log[place.column]
    match getattr(claim.rule, "quantity", None):
        case LayerChange():
            last = min(PAPER_EPOCHS, len(values))
            return f"{values[0]:.2f} after epoch 1, {values[last - 1]:.2f} after epoch {last}"
        case ErrorDrop(epoch, window):
            change = error_drop(values.tolist(), epoch, window)
            return None if change is None else f"{change:+.2f}"
        case _:
            return str(LogSummary.of(values))


def released_name(layer: str) -> str:
    """The log's name of a layer of our ResNet-20: ``blocks.4.conv1`` is ``res2.1/conv1``."""
    match = re.fullmatch(r"blocks\.(\d+)\.(conv\d)", layer)
    if match is None:
        return layer
    stage, block = divmod(int(match[1]), BLOCKS_PER_STAGE)
    return f"res{stage + 1}.{block}/{match[2]}"
