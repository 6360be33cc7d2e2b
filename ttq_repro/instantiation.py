"""Objects that config nodes describe by their ``_target_``."""

from __future__ import annotations

from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from ttq_repro.errors import UserError, headline


def instantiated(group: str, node: dict[str, Any], **arguments: Any) -> Any:
    """The object that a config node describes; its arguments are plain lists and dicts.

    Raises:
        UserError: the class does not exist, or it refuses its arguments.
    """
    try:
        return instantiate(node, _convert_="all", **arguments)
    except InstantiationException as error:
        raise UserError(f"{group}: {headline(error.__cause__ or error)}") from None
