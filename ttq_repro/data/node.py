"""What a node of ``configs/data`` says about a data set, before the data set is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ttq_repro.checks import check_option, check_path


def is_of_photographs(node: dict[str, Any]) -> bool:
    """Whether the images are photographs of any size, cropped when they are read.

    All other data sets have small images of one size, which are kept in memory.
    """
    return "crop" in node


def root_of(node: dict[str, Any]) -> Path:
    """The folder of the data; ``data`` if the node names none, as in the config of a record.

    Raises:
        UserError: ``root`` is not a path.
    """
    root = "data" if node["root"] is None else node["root"]
    check_option("data.root", root, check_path)
    return Path(root)
