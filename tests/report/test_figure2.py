from pathlib import Path

import pytest

from tests.cells import cells, put
from tests.report.plain_records import trained, write_log
from ttq_repro.report.figure2 import figure2, plot
from ttq_repro.report.released_log import beside
from ttq_repro.report.seeds import CellRecords
from ttq_repro.runs.workspace import Workspace


def test_scales_above_and_shares_below() -> None:
    (cell,) = cells("figure2")
    figure = plot(CellRecords(cell, {seed: trained(cell, seed) for seed in (1, 2)}))
    above, below = figure.axes[:3], figure.axes[3:]
    assert [axes.get_title() for axes in above] == [
        "blocks.0.conv1", "blocks.8.conv2", "linear"
    ]  # fmt: skip
    for axes in above:
        positive, negative = axes.lines
        assert positive.get_ydata()[-1] == pytest.approx(1.15)
        assert negative.get_ydata()[-1] == pytest.approx(0.85)
        assert len(positive.get_xdata()) == 30
        assert len(axes.collections) == 2
    for axes in below:
        assert [line.get_ydata()[-1] for line in axes.lines] == pytest.approx([30, 70])
        assert [text.get_text() for text in axes.texts] == [" 30%", " 40%", " 30%"]


def test_the_released_scales_lie_behind_ours(tmp_path: Path) -> None:
    (cell,) = cells("figure2")
    log = beside([cell], write_log(tmp_path))
    figure = plot(CellRecords(cell, {1: trained(cell, 1)}), log)
    theirs = figure.axes[0].lines[-1]
    assert theirs.get_label() == "$W_n$, released log"
    assert theirs.get_xdata()[-1] == 30
    assert theirs.get_ydata()[-1] == 0.16


@pytest.mark.parametrize("given", [True, False])
def test_the_caption_names_the_log_if_it_is_drawn(
    workspace: Workspace, tmp_path: Path, given: bool
) -> None:
    (cell,) = cells("figure2")
    put(workspace, cell, trained(cell, 1))
    log = write_log(tmp_path) if given else None
    text = figure2([cell], workspace, authors_log=log).markdown()
    assert ("released log" in text) == given
