"""The released logs, recomputed."""

from __future__ import annotations

from pathlib import Path

import pytest

from ttq_repro.errors import UserError
from ttq_repro.paper.rules import LogColumn
from ttq_repro.report.authors_log import read_column, summarize

SOURCE = LogColumn("log.csv", "validation_error")


def test_final_best_and_means() -> None:
    errors = [0.5] * 20 + [0.1] * 19 + [0.3]
    summary = summarize(errors)
    assert summary.final == pytest.approx(30)
    assert summary.best == pytest.approx(10)
    assert summary.trailing == pytest.approx((4 * 10 + 30) / 5)  # An eighth of 40 epochs.
    assert summary.lowest_mean == pytest.approx((19 * 10 + 30) / 20)
    assert str(summary).startswith("final 30.00, best 10.00, trailing mean 14.00, lowest 20-epoch")


def test_reads_a_column(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("epoch,validation_error\n1,0.5\n2,0.25\n")
    assert read_column(tmp_path, SOURCE) == [0.5, 0.25]


@pytest.mark.parametrize("content", [None, "", "epoch\n1\n", "validation_error\nnone\n"])
def test_what_is_no_log_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "log.csv").write_text(content)
    with pytest.raises(UserError, match=r"authors_log=.*log\.csv"):
        read_column(tmp_path, SOURCE)
