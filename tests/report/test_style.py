import numpy as np
import pytest
from matplotlib.figure import Figure

from tests.cells import cells, put
from tests.report.plain_records import trained
from ttq_repro.report import style
from ttq_repro.report.seeds import at_one_setting
from ttq_repro.runs.cell import result_cells
from ttq_repro.runs.config import compose_config
from ttq_repro.runs.workspace import Workspace


def test_a_band_is_the_mean_and_the_deviation_over_seeds() -> None:
    axes = Figure().subplots()
    style.band(axes, [1, 2], [[1, 10], [3, 10], [5, 13]])
    assert axes.lines[0].get_ydata() == pytest.approx([3, 11])
    (area,) = axes.collections
    spread = np.sqrt(3)
    heights = {tuple(point) for point in area.get_paths()[0].vertices.round(6)}
    expected = {(1, 1), (1, 5), (2, 11 - spread), (2, 11 + spread)}
    assert {(x, round(y, 6)) for x, y in expected} <= heights


def test_one_seed_has_no_band() -> None:
    axes = Figure().subplots()
    style.band(axes, [1, 2], [[1, 2]])
    assert not axes.collections


@pytest.mark.parametrize(
    ("artifact", "dataset", "drawn"),
    [("figure3", None, "paper"), ("figure4", "imagenette", "short")],
)
def test_of_budgets_with_as_many_runs_one_is_drawn(
    artifact: str, dataset: str | None, drawn: str, workspace: Workspace
) -> None:
    given = [f"dataset={dataset}"] if dataset else []
    for budget in ("short", "paper"):
        cell = cells(artifact, budget, *given)[3]
        put(workspace, cell, trained(cell, 1))
    overrides = [f"artifact={artifact}", *given, f"workspace={workspace.root}"]
    found = at_one_setting(result_cells(compose_config("reproduce", overrides)), workspace)
    assert {one.cell.budget for one in found} == {drawn}


def test_settings_are_never_mixed(workspace: Workspace) -> None:
    paper, short = cells("figure3", "paper"), cells("figure3", "short")
    put(workspace, paper[0], trained(paper[0], 1))
    put(workspace, short[0], trained(short[0], 1))
    put(workspace, short[3], trained(short[3], 1))
    found = at_one_setting(paper + short, workspace)
    assert {one.cell.budget for one in found} == {"short"}
    assert [len(one.records) for one in found] == [1, 0, 0, 1]
