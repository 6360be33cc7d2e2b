"""Drawing an artifact: its table or figure, from the records that exist."""

from __future__ import annotations

from hydra.utils import get_method

from ttq_repro.errors import NothingToDrawError
from ttq_repro.report.artifact_files import file_name
from ttq_repro.report.captions import not_run
from ttq_repro.report.drawing import Drawing
from ttq_repro.runs.cell import Cell, cells_of, result_cells
from ttq_repro.runs.config import Config
from ttq_repro.runs.run import PAPERS_DATASETS
from ttq_repro.runs.workspace import Workspace
from ttq_repro.table import Table


def draw(request: Config, workspace: Workspace) -> str:
    """Draw an artifact and write its files.

    A result is drawn from all of its cells, at every budget of results and in either precision,
    on whatever machine. A trial, or an artifact whose runs differ because of overrides or of
    another config of the paper's data, is drawn from the requested cells only.

    Returns:
        The text to show in a terminal.

    Raises:
        NothingToDrawError: there is no record, or none that can be used.
    """
    artifact = request["artifact"]
    render = get_method(artifact["render"])
    cells = cells_of(request, request["budget"])
    own = request | {"overrides": []}
    if cells[0].run.dataset in PAPERS_DATASETS:
        own["dataset"] = None
    is_result = cells[0].run.is_result and all(
        cell.run.identity == usual.run.identity
        for cell, usual in zip(cells, cells_of(own, request["budget"]), strict=True)
    )
    if is_result:
        cells = result_cells(own)
    if not any(_is_recorded(cell, workspace) for cell in cells):
        raise NothingToDrawError(not_run(cells)[0])
    name = artifact["name"]
    if "stand_in" in artifact:
        name = file_name(name, cells[0])
    home = workspace.home(is_result=is_result)
    with workspace.drawing(home):
        drawn: Table | Drawing = render(cells, workspace, **artifact.get("options", {}))
        text = drawn.publish(home, name)
    return f"{text}\nwritten to {home}"


def _is_recorded(cell: Cell, workspace: Workspace) -> bool:
    """Whether any seed of a cell has a record, valid or not."""
    return any(workspace.record(cell.run).parent.glob("*.json"))
