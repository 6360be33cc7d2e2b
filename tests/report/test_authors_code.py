from dataclasses import replace
from pathlib import Path

import pytest

from tests.cells import cells, put
from tests.report.plain_records import LAYERS, trained, write_log
from ttq_repro.errors import NothingToDrawError
from ttq_repro.report.authors_code import authors_code, plot
from ttq_repro.report.released_log import beside
from ttq_repro.report.seeds import CellRecords
from ttq_repro.runs.config import compose_config
from ttq_repro.runs.workspace import Workspace


def test_curve_over_curve(tmp_path: Path) -> None:
    (cell,) = cells("authors_code")
    log = beside([cell], write_log(tmp_path))
    figure = plot(CellRecords(cell, {1: trained(cell, 1)}), log)
    errors, *panels = figure.axes
    assert {line.get_label(): line.get_ydata()[-1] for line in errors.lines} == pytest.approx(
        {"test": 10, "test, released log": 40, "training": 5, "training, released log": 40}
    )
    assert all(line.get_xdata()[-1] == 40 for line in errors.lines)
    assert [axes.get_title() for axes in panels if axes.axison] == LAYERS
    for axes in panels[: len(LAYERS)]:
        assert [len(line.get_xdata()) for line in axes.lines] == [40, 40, 400, 400]
        assert axes.xaxis.get_tick_params()["labelbottom"], "below some there is no panel"


def test_the_shortened_schedule_is_the_logs_in_shape() -> None:
    full, short = (
        compose_config("train", [f"recipe={name}_authors_code"])["recipe"]
        for name in ("paper", "short")
    )
    assert full["epochs"] == 20 * short["epochs"]
    for ours, theirs in zip(
        short["schedule"]["milestones"], full["schedule"]["milestones"], strict=True
    ):
        assert ours == theirs // 20


def test_the_caption_says_what_it_is_drawn_over(workspace: Workspace, tmp_path: Path) -> None:
    (cell,) = cells("authors_code")
    with pytest.raises(
        NothingToDrawError, match="not run: `make reproduce-authors-code BUDGET=sho"
    ):
        authors_code([cell], workspace)
    made = trained(cell, 1)
    two_layers = {name: made.layers[name] for name in LAYERS[-2:]}
    put(workspace, cell, replace(made, layers=two_layers, decisions=made.decisions[-2:]))
    without = authors_code([cell], workspace).markdown()
    assert "Drawn without the released log (AUTHORS_LOG=...)." in without
    text = authors_code([cell], workspace, authors_log=write_log(tmp_path)).markdown()
    assert "Our runs have 40 epochs" in text
    assert "one run of 400 epochs" in text
    assert "its last epoch is 40.00%" in text
    assert "Our runs make 5% of its passes" in text
    assert "start from" not in text
    parent = cell.run.parent
    for seed, error in ((1, 0.105), (2, 0.2)):
        one = trained(cell, seed, error, identity=parent.identity)
        one.write(workspace.record(parent.with_seed(seed)))
    text = authors_code([cell], workspace).markdown()
    assert "a full-precision network of 30 epochs, whose error is 10.50 (n=1)." in text


def test_a_run_as_long_as_the_log_is_compared_with_it_whole(
    workspace: Workspace, tmp_path: Path
) -> None:
    (cell,) = cells("authors_code", "paper")
    put(workspace, cell, trained(cell, 1))
    text = authors_code([cell], workspace, authors_log=write_log(tmp_path)).markdown()
    assert "of its passes" not in text
