from pathlib import Path

import pytest
from matplotlib.figure import Figure

from tests.report.made import cells, write_log
from ttq_repro.errors import UserError
from ttq_repro.report.released import epoch_axis, laid_over, read_log, released_name


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
    log = read_log(write_log(tmp_path / "log.csv"), cells("figure2"))
    assert log is not None
    assert log.scale("blocks.4.conv2", "negative_scale")[-1] == 0.4
    assert len(log["validation_error"]) == 400


def test_a_trial_is_drawn_without_the_log(tmp_path: Path) -> None:
    path = write_log(tmp_path / "log.csv")
    assert read_log(path, cells("figure2", "smoke", "dataset=digits")) is None
    assert read_log(None, cells("figure2")) is None


def test_another_log_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "alexnet.csv"
    path.write_text("epoch,val-error-top1\n1,0.8\n")
    log = read_log(str(path), cells("figure2"))
    assert log is not None
    with pytest.raises(UserError, match=r"alexnet\.csv: no column validation_error"):
        log["validation_error"]


@pytest.mark.parametrize("content", ["", "epoch\n", "epoch\none\n", "epoch,loss\n1\n"])
def test_what_is_no_table_of_numbers_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text(content)
    with pytest.raises(UserError, match=r"log\.csv: not a table of numbers"):
        read_log(str(path), cells("figure2"))


def test_schedules_are_laid_over_each_other_from_start_to_end() -> None:
    assert laid_over(30, 160)[[0, -1]] == pytest.approx([30 / 160, 30])
    assert laid_over(160, 160) == pytest.approx(range(1, 161))
    longer, same = Figure().subplots(), Figure().subplots()
    longer.set_xlim(0, 30)
    epoch_axis(longer, 30, 160)
    epoch_axis(same, 160, 160)
    longer.figure.draw_without_rendering()
    assert longer.child_axes[0].get_xlim() == pytest.approx((0, 160))
    assert not same.child_axes
