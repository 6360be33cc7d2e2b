from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.cells import cells, put
from tests.records import PROVENANCE
from tests.report.alexnet_records import alexnet, codes
from ttq_repro.errors import NothingToDrawError
from ttq_repro.report.figure6 import figure6, kernel_table, plot, tiled
from ttq_repro.report.seeds import CellRecords
from ttq_repro.runs.workspace import Workspace


def test_kernels_lie_in_a_grid_of_outputs_and_inputs() -> None:
    kernels = np.zeros((2, 3, 2, 2), int)
    kernels[0, 2] = [[1, 1], [-1, 1]]
    kernels[1, 0] = -1
    assert tiled(kernels).tolist() == [
        [3, 3, 3, 3, 3, 3, 3, 3, 3, 3],
        [3, 1, 1, 3, 1, 1, 3, 2, 2, 3],
        [3, 1, 1, 3, 1, 1, 3, 0, 2, 3],
        [3, 3, 3, 3, 3, 3, 3, 3, 3, 3],
        [3, 0, 0, 3, 1, 1, 3, 1, 1, 3],
        [3, 0, 0, 3, 1, 1, 3, 1, 1, 3],
        [3, 3, 3, 3, 3, 3, 3, 3, 3, 3],
    ]


def test_the_figure_shows_the_second_and_the_third_convolution() -> None:
    (cell,) = cells("figure6")
    panels = plot(alexnet(cell)).axes
    assert [axes.get_title() for axes in panels] == [
        "second convolution, 5x5", "third convolution, 3x3"
    ]  # fmt: skip
    for axes, size in zip(panels, (5, 3), strict=True):
        shown = axes.images[0].get_array()
        assert shown.shape == (10 * (size + 1) + 1,) * 2
        assert np.array_equal(shown[1 : size + 1, 1 : size + 1], codes(size)[0, 0] + 1)


def test_what_removing_sparse_kernels_saves_and_loses() -> None:
    (cell,) = cells("figure6")
    rows = kernel_table(CellRecords(cell, {1: alexnet(cell)})).rows
    assert [row[0] for row in rows] == ["conv2", "conv3", "conv4", "conv5", "total"]
    # A quarter is empty, an eighth holds one weight; 30% of 307,200 weights are not zero.
    assert rows[0][1:] == ["12,288", "3,072", "1,536", "37.500", f"{100 * 1536 / 92_160:.4f}"]
    assert rows[-1][1:5] == ["233,472", "58,368", "29,184", "37.500"]


def test_the_table_has_the_caveats_of_its_run() -> None:
    (cell,) = cells("figure6")
    made = replace(alexnet(cell), provenance=PROVENANCE | {"dirty": True})
    note = kernel_table(CellRecords(cell, {1: made})).note
    assert note.startswith(f"- TTQ, seed 1 ({cell.setting}): ")
    assert note.endswith("trained from a checkout with uncommitted changes")


def test_the_total_is_weighted_by_weights() -> None:
    (cell,) = cells("figure6")
    made = alexnet(cell)
    for kernels in list(made.kernels.values())[1:]:
        kernels |= {"empty": 0, "single": 0}
    total = kernel_table(CellRecords(cell, {1: made})).rows[-1]
    assert total[2] == "3,072"
    assert total[4] == f"{100 * 0.375 * 307_200 / 2_297_856:.3f}"


def test_figure_and_table_are_written_together(workspace: Workspace, tmp_path: Path) -> None:
    planned = cells("figure6")
    with pytest.raises(NothingToDrawError, match="not run: `make reproduce-figure6"):
        figure6(planned, workspace)
    made = [alexnet(planned[0], seed) for seed in (1, 2)]
    put(workspace, planned[0], *made)
    text = figure6(planned, workspace).publish(tmp_path, "mine")
    assert "Seed 1." in text
    assert "n = 1: TTQ" in text
    assert "| total | 233,472 |" in text
    assert (tmp_path / "tables" / "mine_kernels.csv").is_file()
