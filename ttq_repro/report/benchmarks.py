"""Measurements other than training runs: the CSV files in results/benchmarks."""

from __future__ import annotations

import csv
import re
import warnings
from pathlib import Path
from typing import NamedTuple

from ttq_repro.paper.rules import Measured

DATE = re.compile(r"\d{4}-\d\d-\d\d$")


class Measurement(NamedTuple):
    """A number, its 95% interval, and the name of the file it comes from."""

    value: float
    interval: tuple[float, float]
    file: str


def look_up(rule: Measured, folder: Path) -> Measurement | None:
    """The number that a rule asks for, from the latest file of its benchmark, None if missing.

    Warns of a file that is not text, or has no such row, column, number or interval.
    """
    named = (path for path in folder.glob(f"{rule.benchmark}*.csv") if _is_of(rule.benchmark, path))
    latest = max(named, key=_date, default=None)
    if latest is None:
        return None
    try:
        return _find(rule, latest)
    except (ValueError, csv.Error) as error:
        warnings.warn(f"{latest}: {error}")
        return None


def _find(rule: Measured, path: Path) -> Measurement:
    with path.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream, restval=""):
            if rule.column in row and rule.where.items() <= row.items():
                return _read(rule, row, path)
    where = ", ".join(f"{column}={value}" for column, value in rule.where.items())
    raise ValueError(f"no row with {where} and a column {rule.column!r}")


def _is_of(benchmark: str, path: Path) -> bool:
    """Whether a name that starts with the benchmark's is equal to it, or ends with a date."""
    return path.stem == benchmark or DATE.search(path.stem) is not None


def _date(path: Path) -> tuple[str, str]:
    """A sort key: the date at the end of a file's name, then the name."""
    found = DATE.search(path.stem)
    return found[0] if found else "", path.name


def _read(rule: Measured, row: dict[str, str], path: Path) -> Measurement:
    value = _number(row[rule.column])
    if rule.interval is None:
        return Measurement(value, (value, value), path.name)
    low, _, high = row.get(rule.interval, "").partition(" to ")
    return Measurement(value, (_number(low), _number(high)), path.name)


def _number(text: str) -> float:
    try:
        return float(text.replace(",", ""))
    except ValueError:
        raise ValueError(f"not a number: {text!r}") from None
