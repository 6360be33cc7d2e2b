"""The released logs, summarized and drawn beside ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from tests.cells import cells
from tests.report.plain_records import write_log
from ttq_repro.errors import UserError
from ttq_repro.report.released_log import LogSummary, ReleasedLog, beside, released_name
from ttq_repro.report.style import laid_over, second_epoch_axis


def test_final_best_and_means() -> None:
    summary = LogSummary.of(np.array([0.5] * 20 + [0.1] * 19 + [0.3]))
    assert summary.final == pytest.approx(30)
    assert summary.best == pytest.approx(10)
    assert summary.trailing == pytest.approx((4 * 10 + 30) / 5)  # An eighth of 40 epochs.
    assert summary.lowest_mean == pytest.approx((19 * 10 + 30) / 20)
    assert str(summary).startswith("final 30.00, best 10.00, trailing mean 14.00, lowest 20-epoch")


def test_reads_columns_once(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("epoch,validation_error\n1,0.5\n2,0.25\n")
    log = ReleasedLog.read(tmp_path, "log.csv")
    (tmp_path / "log.csv").unlink()
    assert log["epoch"].tolist() == [1, 2]
    assert log["validation_error"].tolist() == [0.5, 0.25]


@pytest.mark.parametrize("content", [None, "", "epoch\n1\n", "validation_error\nnone\n"])
def test_what_is_no_log_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "log.csv").write_text(content)
    with pytest.raises(UserError, match=r"authors_log=.*log\.csv"):
        ReleasedLog.read(tmp_path, "log.csv")["validation_error"]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("blocks.0.conv1", "res1.0/conv1"),
        ("blocks.4.conv2", "res2.1/conv2"),
        ("blocks.8.conv2", "res3.2/conv2"),
        ("linear", "linear"),
    ],
)
def test_layers_by_the_logs_names(ours: str, theirs: str) -> None:
    assert released_name(ours) == theirs


def test_reading(tmp_path: Path) -> None:
    log = beside(cells("figure2"), write_log(tmp_path))
    assert log is not None
    assert log.scale("blocks.4.conv2", "negative_scale")[-1] == 0.4
    assert len(log["validation_error"]) == 400


def test_a_trial_is_drawn_without_the_log(tmp_path: Path) -> None:
    assert beside(cells("figure2", "smoke", "dataset=digits"), str(tmp_path)) is None
    assert beside(cells("figure2"), None) is None


def test_schedules_are_laid_over_each_other_from_start_to_end() -> None:
    drawn = Figure().subplots()
    laid_over(drawn, np.zeros(160), 30, "log")
    assert drawn.lines[0].get_xdata()[[0, -1]] == pytest.approx([30 / 160, 30])
    longer, same = Figure().subplots(), Figure().subplots()
    longer.set_xlim(0, 30)
    second_epoch_axis(longer, 30, 160, "log")
    second_epoch_axis(same, 160, 160, "log")
    longer.figure.draw_without_rendering()
    assert longer.child_axes[0].get_xlim() == pytest.approx((0, 160))
    assert not same.child_axes
