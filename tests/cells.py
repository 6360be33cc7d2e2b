"""The cells of an artifact, and their records in a workspace."""

from __future__ import annotations

from ttq_repro.runs.cell import Cell, cells_of
from ttq_repro.runs.config import compose_config
from ttq_repro.runs.record import Record
from ttq_repro.runs.workspace import Workspace


def cells(artifact: str, budget: str = "short", *overrides: str) -> list[Cell]:
    return cells_of(compose_config("reproduce", [f"artifact={artifact}", *overrides]), budget)


def put(workspace: Workspace, cell: Cell, *records: Record) -> None:
    """Write records of a cell where training would."""
    for one in records:
        one.write(workspace.record(cell.run.with_seed(one.seed)))
