"""Measurements that are no training runs: the CSV files in results/benchmarks."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path
from typing import NamedTuple

from ttq_repro.paper.rules import Measured


class Measurement(NamedTuple):
    """A number and the name of the file that holds it."""

    value: float
    file: str


def look_up(rule: Measured, folder: Path) -> Measurement | None:
    """The number that a rule asks for, from the last file of its name; None if it is not there.

    What stands in place of a number is warned about.
    """
    for path in sorted(folder.glob(f"{rule.benchmark}*.csv"), reverse=True)[:1]:
        with path.open(newline="") as stream:
            for row in csv.DictReader(stream):
                if rule.column not in row or not rule.where.items() <= row.items():
                    continue
                try:
                    return Measurement(float(row[rule.column].replace(",", "")), path.name)
                except ValueError:
                    warnings.warn(f"{path}: {rule.column} is no number: {row[rule.column]}")
    return None
