"""What a node of ``configs/data`` says of a data set before it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ttq_repro.checks import check_option, check_path


def is_of_photographs(node: dict[str, Any]) -> bool:
    """Whether its images are photographs of any size, cropped when they are read.

    All others are small, of one size, and kept in memory.
    """
    return "crop" in node


def root_of(node: dict[str, Any]) -> Path:
    """The folder to look into; a record's config names none.

    Raises:
        UserError: what it names is no path.
    """
    root = "data" if node["root"] is None else node["root"]
    check_option("data.root", root, check_path)
    return Path(root)
