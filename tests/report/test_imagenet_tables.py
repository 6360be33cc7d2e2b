"""Tables 2, 3 and 4."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cells import cells, put
from tests.report.alexnet_records import alexnet
from tests.report.plain_records import trained
from ttq_repro.paper.reported import TABLE2, TABLE3
from ttq_repro.report.imagenet_tables import table2, table3
from ttq_repro.report.table4 import table4
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.workspace import Workspace
from ttq_repro.table import Table


def with_top5(cell: Cell, seed: int, top1: float, top5: float) -> object:
    before = [0.9] * (cell.run.epochs - 1)
    finals = {"test_error": top1, "train_error": top1, "test_top5_error": top5}
    curves = {name: [*before, final] for name, final in finals.items()}
    return trained(cell, seed, top1, metrics=curves)


def test_both_errors_beside_the_papers(workspace: Workspace) -> None:
    planned = cells("table2", "paper")
    ttq = planned[-1]
    put(workspace, ttq, with_top5(ttq, 1, 0.424, 0.20), with_top5(ttq, 2, 0.428, 0.21))
    table = table2(planned, workspace)
    assert table.header[2:] == [
        "top-1, paper", "top-1, ours", "difference", "top-5, paper", "top-5, ours", "difference"
    ]  # fmt: skip
    assert table.rows[-1][2:] == [
        "42.5", "42.60 ± 0.28 (n=2)", "+0.10", "20.3", "20.50 ± 0.71 (n=2)", "+0.20"
    ]  # fmt: skip
    assert table.rows[0][2:] == ["42.8", "not run", "-", "19.7", "not run", "-"]
    assert table.rows[1][2:] == ["-", "not run", "-", "-", "not run", "-"]
    assert "make reproduce-table2 BUDGET=paper" in table.note


@pytest.mark.parametrize(("artifact", "reported"), [("table2", TABLE2), ("table3", TABLE3)])
def test_every_row_of_the_paper_has_a_cell(artifact: str, reported: dict) -> None:
    assert set(reported) <= {cell.labels["method"] for cell in cells(artifact)}


@pytest.mark.parametrize("table", [table2, table3])
def test_a_stand_in_is_labelled(
    table: Callable[[list[Cell], Workspace], Table], workspace: Workspace
) -> None:
    name = table.__name__
    planned = cells(name, "short", "dataset=imagenette")
    put(workspace, planned[-1], trained(planned[-1], 1, 0.31))
    text = table(planned, workspace).markdown()
    assert "Not the paper's numbers: imagenette instead, 4,500 photographs for training" in text
    assert "| 31.00 (n=1) |" in text
    count = trained(planned[-1], 1, 0.31).test_images
    assert f"With {count:,} images to test on, their choice" in text
    assert f"about {100 * (0.31 * 0.69 / count) ** 0.5:.1f} points" in text
    assert "top-5" not in text
    assert "difference" not in text
    assert f"make reproduce-{name} BUDGET=short" in text
    assert "DATA=imagenette" in text


def test_densities_beside_both_of_the_papers_columns(workspace: Workspace) -> None:
    (cell,) = cells("table4", "paper")
    put(workspace, cell, alexnet(cell))
    rows = {row[0]: row[1:] for row in table4([cell], workspace).rows}
    assert rows["conv1"] == ["41,472", "84", "8", "100", "32", *["100.00 (n=1)"] * 2, "32", "+0.0"]
    assert rows["conv2"][:5] == ["307,200", "38", "8", "23", "2"]
    assert rows["conv2"][5:] == ["50.00 (n=1)", "30.00 (n=1)", "2", "+7.0"]
    assert rows["all"][5] == f"{100 - 50 * (60_961_280 - 4_137_472) / 60_961_280:.2f} (n=1)"
    assert rows["fc2"][-3:] == ["25.00 (n=1)", "2", "-11.0"]
    assert rows["fc3"][-3:] == ["100.00 (n=1)", "32", "+0.0"]
    conv = 41_472 + 0.3 * 307_200 + 0.29 * 884_736 + 0.28 * 663_552 + 0.27 * 442_368
    fc = 0.26 * 37_748_736 + 0.25 * 16_777_216 + 4_096_000
    assert rows["conv total"][-3] == f"{100 * conv / 2_339_328:.2f} (n=1)"
    assert rows["fc total"][-3] == f"{100 * fc / 58_621_952:.2f} (n=1)"
    assert rows["all"][0] == "60,961,280"
    assert rows["all"][-3] == f"{100 * (conv + fc) / 60_961_280:.2f} (n=1)"


def test_densities_without_a_record_name_the_command(workspace: Workspace) -> None:
    text = table4(cells("table4", "paper"), workspace).markdown()
    assert text.count("not run |") == 11
    assert "make reproduce-table4 BUDGET=paper" in text
