"""The table of our own target, a ternary network that beats full precision."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.records import PROVENANCE
from tests.report.plain_records import cells, put, trained
from ttq_repro.report.best_ternary import best_ternary
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.config import compose_config
from ttq_repro.runs.record import Record, pack_correct
from ttq_repro.runs.workspace import Workspace

CHOSEN = "twn_distilled"
#: The runs that the row of the chosen method rests on.
COMPARED = (
    ("selection", CHOSEN), ("test", CHOSEN), ("test", "full_precision"), ("test", "control"),
)  # fmt: skip


def failing(cell: Cell, seed: int, wrong: int) -> Record:
    """A record of a network that fails on the first ``wrong`` of 1,000 images."""
    correct = np.arange(1000) >= wrong
    return trained(cell, seed, wrong / 1000, correct=pack_correct(correct), test_images=1000)


def by_place(planned: list[Cell]) -> dict[tuple[str, str], Cell]:
    return {(cell.labels["stage"], cell.labels["method"]): cell for cell in planned}


def test_what_is_chosen_on_images_held_out_is_tested(tmp_path: Path) -> None:
    workspace, planned = Workspace(tmp_path), cells("best_ternary")
    place = by_place(planned)
    for method, wrong in (("full_precision", 100), ("seq", 95), (CHOSEN, 90)):
        put(workspace, place["selection", method], failing(place["selection", method], 1, wrong))
    for seed, wrongs in enumerate(((105, 80, 85), (106, 82, 88), (104, 84, 86)), 1):
        for method, wrong in zip(("full_precision", "control", CHOSEN), wrongs, strict=True):
            cell = place["test", method]
            put(workspace, cell, failing(cell, seed, wrong))
    table = best_ternary(planned, workspace, CHOSEN)
    rows = {row[0]: row[2:] for row in table.rows}
    assert len(rows) == 14
    assert rows["full precision"] == ["10.00 (n=1)", "10.50 ± 0.10 (n=3)", "-", "-"]
    held_out, tested, against, against_control = rows["TWN, distilled (chosen)"]
    assert (held_out, tested) == ("9.00 (n=1)", "8.63 ± 0.15 (n=3)")
    assert against.startswith("-1.87 [-")
    assert against_control.startswith("+0.43 [-")
    control = rows["full precision, trained further and distilled (control)"]
    assert control[:2] == ["-", "8.20 ± 0.20 (n=3)"]
    assert control[2].startswith("-2.30 [-")
    assert control[3] == "-"
    assert rows["SEQ"] == ["9.50 (n=1)", "-", "-", "-"]
    assert rows["TTQ"] == ["not run", "-", "-", "-"]
    assert "does not have the lowest" not in table.note
    note = best_ternary(planned, workspace, "seq").note
    assert (
        "`artifact.options.chosen=seq` does not have the lowest held-out error; `twn_distilled` has"
        in note
    )


@pytest.mark.parametrize("on_gpu", COMPARED)
def test_a_row_across_machines_says_so(on_gpu: tuple[str, str], tmp_path: Path) -> None:
    """Whichever run is on the GPU: held out or tested, ours or the one it is compared with."""
    workspace, planned = Workspace(tmp_path), cells("best_ternary")
    place = by_place(planned)
    for stage, method in COMPARED:
        kind = "CUDA" if (stage, method) == on_gpu else "CPU"
        made = failing(place[stage, method], 1, 100)
        put(
            workspace,
            place[stage, method],
            replace(made, provenance=made.provenance | {"accelerator": f"{kind}Accelerator"}),
        )
    rows = {row[0]: row for row in best_ternary(planned, workspace, CHOSEN).rows}
    assert rows["TWN, distilled (chosen)"][1].endswith(", CPU and GPU")
    assert "GPU" not in rows["SEQ"][1]


def test_nothing_is_chosen_before_it_was_compared(tmp_path: Path) -> None:
    workspace, planned = Workspace(tmp_path), cells("best_ternary")
    place = by_place(planned)
    put(workspace, place["test", CHOSEN], failing(place["test", CHOSEN], 1, 90))
    table = best_ternary(planned, workspace, CHOSEN)
    assert "TWN, distilled" in [row[0] for row in table.rows]
    assert "no method has been chosen by its held-out error yet; `artifact" in table.note


def test_one_seed_has_no_interval(tmp_path: Path) -> None:
    workspace, planned = Workspace(tmp_path), cells("best_ternary")
    place = by_place(planned)
    for method, wrong in (("full_precision", 100), (CHOSEN, 90)):
        put(workspace, place["test", method], failing(place["test", method], 1, wrong))
    rows = {row[0]: row[2:] for row in best_ternary(planned, workspace, CHOSEN).rows}
    assert rows["TWN, distilled"][2] == "-1.00 (n=1)"


def test_a_method_asked_for_alone_is_compared_with_nothing(tmp_path: Path) -> None:
    planned = [cell for cell in cells("best_ternary") if cell.labels["method"] == CHOSEN]
    cell = by_place(planned)["test", CHOSEN]
    put(Workspace(tmp_path), cell, failing(cell, 1, 90))
    (row,) = best_ternary(planned, Workspace(tmp_path), CHOSEN).rows
    assert row[2:] == ["not run", "9.00 (n=1)", "-", "-"]


def test_without_records_nothing_is_made_up(tmp_path: Path) -> None:
    text = best_ternary(cells("best_ternary"), Workspace(tmp_path), CHOSEN).markdown()
    assert "make reproduce-best-ternary BUDGET=short PRECISION=bf16 DATA_DIR=..." in text
    assert text.count("not run") == 13 + 3 + 1, "held out, tested, and the command"


def test_caveats_name_the_stage_of_a_run(tmp_path: Path) -> None:
    workspace, planned = Workspace(tmp_path), cells("best_ternary")
    cell = by_place(planned)["selection", CHOSEN]
    put(workspace, cell, replace(failing(cell, 1, 90), provenance=PROVENANCE | {"dirty": True}))
    note = best_ternary(planned, workspace, CHOSEN).note
    assert f"- TWN, distilled, selection, seed 1 ({cell.setting}): trained from a" in note


def test_what_is_tested_is_what_is_chosen() -> None:
    artifact = compose_config("reproduce", ["artifact=best_ternary"])["artifact"]
    tested = [cell["method"] for cell in artifact["cells"] if cell["stage"] == "test"]
    assert tested == ["full_precision", artifact["options"]["chosen"], "control"]


def test_the_control_differs_from_what_is_chosen_in_its_quantizer_alone() -> None:
    place = by_place(cells("best_ternary"))
    chosen, control = (place["test", method].run for method in (CHOSEN, "control"))
    assert control.quantizer == "full_precision"
    assert control.config | {"quantizer": None} == chosen.config | {"quantizer": None}


@pytest.mark.parametrize("method", ["twn", "twn_distilled"])
def test_candidates_differ_in_the_teacher_alone(method: str) -> None:
    run = by_place(cells("best_ternary"))["selection", method].run
    assert bool(run.config["distillation"]) == method.endswith("_distilled")
    assert run.config["data"]["held_out"] == 0.1
    assert run.parent is not None
    assert run.parent.config["data"]["held_out"] == 0.1
