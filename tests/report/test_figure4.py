from pathlib import Path

import pytest

from tests.cells import cells, put
from tests.report.plain_records import trained
from ttq_repro.report.figure4 import figure4, plot
from ttq_repro.report.released_log import ReleasedLog
from ttq_repro.report.seeds import CellRecords
from ttq_repro.runs.workspace import Workspace


def test_accuracies_of_both_kinds_of_images() -> None:
    planned = cells("figure4", "short", "dataset=imagenette")
    found = [CellRecords(cell, {1: trained(cell, 1, 0.3)}) for cell in planned]
    training, validation = plot(found).axes
    assert [line.get_label() for line in validation.lines] == [
        "full precision (dropout): 70.0",
        "DoReFa 1-32-32: 70.0",
        "TWN: 70.0",
        "TTQ: 70.0",
    ]
    for axes, final in ((training, 85), (validation, 70)):
        for line in axes.lines:
            assert line.get_ydata()[-1] == pytest.approx(final)
            assert line.get_xdata()[-1] == 40


def test_the_released_log_lies_beside_results_on_ilsvrc12(
    workspace: Workspace, tmp_path: Path
) -> None:
    log = tmp_path / "authors_log_alexnet_imagenet_ttq.csv"
    rows = [f"{epoch},{0.5 - epoch / 1000},{0.6 - epoch / 1000}" for epoch in range(80)]
    log.write_text("epoch,train-error-top1,val-error-top1\n" + "\n".join(rows))
    planned = cells("figure4", "paper")
    put(workspace, planned[3], trained(planned[3], 1))
    text = figure4(planned, workspace, str(tmp_path)).markdown()
    assert "drawn over the width of our schedule" in text
    released = ReleasedLog.read(tmp_path, log.name)
    axes = plot([CellRecords(planned[3], {1: trained(planned[3], 1)})], released).axes
    for panel, final in zip(axes, (57.9, 47.9), strict=True):
        theirs = panel.lines[-1]
        assert theirs.get_label() == f"TTQ, released log: {final}"
        assert theirs.get_xdata()[-1] == 80
    stand_in = cells("figure4", "short", "dataset=imagenette")
    put(workspace, stand_in[3], trained(stand_in[3], 1))
    assert "drawn over" not in figure4(stand_in, workspace, str(tmp_path)).markdown()


def test_a_stand_in_says_so(workspace: Workspace) -> None:
    planned = cells("figure4", "short", "dataset=imagenette")
    put(workspace, planned[0], trained(planned[0], 1))
    text = figure4(planned, workspace).markdown()
    assert "for training, 1,100 for testing" in text
    assert (
        "Not run: DoReFa 1-32-32, TWN, TTQ; to train: `make reproduce-figure4 BUDGET=short" in text
    )
