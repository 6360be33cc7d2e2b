"""A figure's files and its caption."""

from pathlib import Path

from matplotlib.figure import Figure

from tests.cells import cells, put
from tests.records import ON_CPU, ON_GPU
from tests.report.plain_records import trained
from ttq_repro.report.captions import drawn_from
from ttq_repro.report.drawing import Drawing
from ttq_repro.report.figure3 import figure3
from ttq_repro.report.seeds import CellRecords
from ttq_repro.runs.workspace import Workspace


def test_files_come_out_the_same_each_time(workspace: Workspace, tmp_path: Path) -> None:
    planned = cells("figure3", "short", "precision=fp32")
    for cell in planned:
        put(workspace, cell, trained(cell, 1), trained(cell, 2, 0.12))
    for home in ("first", "second"):
        figure3(planned, workspace).publish(tmp_path / home, "figure3")
    for suffix in ("png", "svg", "md"):
        first, second = (
            (tmp_path / home / "figures" / f"figure3.{suffix}").read_bytes()
            for home in ("first", "second")
        )
        assert first == second
        assert b"dc:date" not in first


def test_a_trial_says_in_the_picture_what_it_is_not(tmp_path: Path) -> None:
    (cell,) = cells("figure2", "smoke", "dataset=digits")
    figure = Figure()
    Drawing(figure, "Caption.", [CellRecords(cell, {})]).publish(tmp_path, "x")
    assert figure.get_suptitle().startswith("Not the paper's numbers: digits, smoke budget")
    text = (tmp_path / "figures" / "x.md").read_text()
    assert text.startswith("**Not the paper's numbers: digits")
    result = Figure()
    (cell,) = cells("figure2")
    Drawing(result, "Caption.", [CellRecords(cell, {})]).publish(tmp_path, "y")
    assert result.get_suptitle() == ""


def test_captions_name_series_of_several_kinds_of_machine() -> None:
    parent, *_, ttq = cells("figure3", "short", "precision=fp32")
    mixed = {s: trained(parent, s, provenance=where) for s, where in ((1, ON_CPU), (2, ON_GPU))}
    found = [CellRecords(parent, mixed), CellRecords(ttq, {1: trained(ttq, 1, provenance=ON_GPU)})]
    assert drawn_from(found) == (
        "Budget and precision: short, fp32. n = 2: full precision. n = 1: TTQ. "
        "Trained on CPU and GPU: full precision. Trained on GPU: TTQ."
    )
    apart = [CellRecords(parent, {1: mixed[1]}), found[1]]
    assert drawn_from(apart).endswith("Trained on CPU: full precision. Trained on GPU: TTQ.")
    assert "Trained on" not in drawn_from([CellRecords(parent, {2: mixed[2]}), found[1]])


def test_captions_count_seeds_and_name_what_was_not_run() -> None:
    parent, dorefa, twn, ttq = cells("figure3", "short", "precision=fp32")
    found = [
        CellRecords(parent, {1: trained(parent, 1), 2: trained(parent, 2)}),
        CellRecords(dorefa, {}),
        CellRecords(twn, {}),
        CellRecords(ttq, {1: trained(ttq, 1)}),
    ]
    assert drawn_from(found) == (
        "Budget and precision: short, fp32. n = 2: full precision. n = 1: TTQ. "
        "Not run: DoReFa 1-32-32, TWN; to train: "
        "`make reproduce-figure3 BUDGET=short PRECISION=fp32 DATA_DIR=... METHODS=dorefa,twn`."
    )


def test_captions_have_the_caveats_of_their_runs() -> None:
    parent, *_ = cells("figure3", "short", "precision=fp32")
    found = [CellRecords(parent, {2: trained(parent, 2, provenance={"dirty": True})})]
    assert drawn_from(found).endswith(
        "n = 1: full precision. Caveat on full precision, seed 2 (short, fp32): trained from a "
        "checkout with uncommitted changes."
    )
