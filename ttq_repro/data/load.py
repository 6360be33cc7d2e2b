"""From a config's data node to arrays."""

from __future__ import annotations

from pathlib import Path

from ttq_repro.data.arrays import ImageArrays
from ttq_repro.data.cifar10 import load_cifar10
from ttq_repro.data.digits import load_digits
from ttq_repro.errors import UserError


def load_data(name: str, root: str | Path | None, cache: Path) -> ImageArrays:
    """The data set called ``name``.

    Raises:
        UserError: there is none of that name.
        DataError: its files are missing or damaged.
    """
    if name == "digits":
        return load_digits()
    if name == "cifar10":
        return load_cifar10(root or "data", cache)
    raise UserError(f"data.name={name}: unknown; known are cifar10 and digits")
