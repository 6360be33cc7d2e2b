from pathlib import Path

import pytest

from tests.cells import cells, put
from tests.report.plain_records import child, trained, write_log
from ttq_repro.errors import NothingToDrawError
from ttq_repro.report.figure3 import figure3, plot
from ttq_repro.report.released_log import beside
from ttq_repro.report.seeds import CellRecords
from ttq_repro.runs.workspace import Workspace


def test_a_line_a_method_in_percent(tmp_path: Path) -> None:
    planned = cells("figure3")
    errors = (0.08, 0.1, 0.095, 0.09)
    found = [
        CellRecords(cell, {1: trained(cell, 1, error)})
        for cell, error in zip(planned, errors, strict=True)
    ]
    log = beside(planned, write_log(tmp_path))
    (axes,) = plot(found, log).axes
    assert axes.get_legend().get_title().get_text().startswith("error (%): final epoch, mean")
    raw, moving = axes.lines[::2], axes.lines[1::2]
    assert [line.get_label() for line in moving] == [
        "full precision: 8.00 (n=1), 8.00",
        "DoReFa 1-32-32: 10.00 (n=1), 10.00",
        "TWN: 9.50 (n=1), 9.50",
        "TTQ: 9.00 (n=1), 9.00",
        "TTQ, released log: 16.00, 15.05",
    ]
    for line, mean, error in zip(raw, moving, (*errors, 0.16), strict=True):
        assert line.get_ydata()[-1] == pytest.approx(100 * error)
        assert mean.get_ydata()[-1] == pytest.approx(line.get_ydata()[-5:].mean())
        assert len(mean.get_ydata()) == len(line.get_ydata()) - 4
        assert line.get_xdata()[-1] == mean.get_xdata()[-1] == 30


def test_what_has_no_record_is_left_out_and_named(workspace: Workspace) -> None:
    planned = cells("figure3")
    put(workspace, planned[3], trained(planned[3], 1))
    text = figure3(planned, workspace).markdown()
    assert "n = 1: TTQ. Not run: full precision, DoReFa 1-32-32, TWN; to train: `make" in text


def test_the_caption_says_which_epoch_of_the_log_the_legend_gives(
    workspace: Workspace, tmp_path: Path
) -> None:
    planned = cells("figure3")
    put(workspace, planned[3], trained(planned[3], 1))
    text = figure3(planned, workspace, authors_log=write_log(tmp_path)).markdown()
    assert "to the 160 epochs drawn; the error of its last epoch, 400, is 40.00%." in text


def test_a_line_from_another_parent_is_left_out_and_named(workspace: Workspace) -> None:
    parent, _, twn, ttq = cells("figure3")
    put(workspace, parent, trained(parent, 1, weights_sha256="now"))
    for cell, weights in ((twn, "now"), (ttq, "before")):
        put(workspace, cell, child(cell, 1, started_from=weights))
    with pytest.warns(UserWarning, match="resnet20-ttq-.* is left out"):
        text = figure3([parent, twn, ttq], workspace).markdown()
    assert "n = 1: full precision, TWN." in text
    assert "Left out: a run of TTQ; to train it again, delete `results/records/cifar10/" in text


def test_without_any_record_it_names_the_command(workspace: Workspace) -> None:
    with pytest.raises(NothingToDrawError, match="not run: `make reproduce-figure3"):
        figure3(cells("figure3"), workspace)
