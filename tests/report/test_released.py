from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from tests.report.plain_records import cells, write_log
from ttq_repro.report.released import beside, draw, epoch_axis, released_name


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
    draw(drawn, np.zeros(160), 30, "log")
    assert drawn.lines[0].get_xdata()[[0, -1]] == pytest.approx([30 / 160, 30])
    longer, same = Figure().subplots(), Figure().subplots()
    longer.set_xlim(0, 30)
    epoch_axis(longer, 30, 160)
    epoch_axis(same, 160, 160)
    longer.figure.draw_without_rendering()
    assert longer.child_axes[0].get_xlim() == pytest.approx((0, 160))
    assert not same.child_axes
