"""Names and writes the tables of a benchmark; only those that ``configs/`` asks for are results."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import date

from ttq_repro.runs.config import Config, compose_config
from ttq_repro.runs.workspace import Workspace
from ttq_repro.table import Table


def publish(
    name: str, request: Config, measure: Callable[[Config], Iterable[tuple[str, Table]]]
) -> None:
    """Write each table of a benchmark as soon as it is measured, and print it.

    If the request differs from ``configs/NAME.yaml``, tables go to outputs/: in results/ they would
    replace committed tables, and claims would be judged by them.

    Args:
        measure: makes the tables that a request asks for, each with the name of its file.
    """
    other = departures(name, request)
    workspace = Workspace.of(request)
    folder = workspace.home(is_result=not other) / "benchmarks"
    if other:
        named = ", ".join(other)
        print(f"a trial, as configs/{name}.yaml has other {named}: its tables go to {folder}")
    for title, table in measure(request):
        table.write(folder, title)
        print(table.markdown())


def benchmark_name(what: str, hardware: str) -> str:
    """The file name, without suffix, of a table of what was measured on some hardware today."""
    slug = re.sub(r"[^a-z0-9]+", "-", hardware.lower()).strip("-")
    return f"{what}_{slug}_{date.today().isoformat()}"


def departures(name: str, request: Config) -> list[str]:
    """The options by which ``request`` asks for other tables than ``configs/NAME.yaml``.

    Options that only omit tables, or say where they go or on which device they are measured, do not
    count; a table names its device.
    """
    usual = compose_config(name, [])
    return [
        key
        for key in request
        if request[key] != usual.get(key)
        and key not in ("workspace", "parts", "accelerator")
        and not (key == "networks" and not request[key])
    ]
