"""The table of our own target, a ternary network that beats full precision."""

from __future__ import annotations

import pytest

from tests.cells import cells, put
from tests.records import ON_CPU, ON_GPU
from tests.report.plain_records import child, trained
from ttq_repro.report.best_ternary import best_ternary
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.workspace import Workspace

CHOSEN = "twn_distilled"
#: The runs that the row of the chosen method rests on.
COMPARED = (
    ("selection", CHOSEN), ("test", CHOSEN), ("test", "full_precision"), ("test", "control"),
)  # fmt: skip


def by_place(planned: list[Cell]) -> dict[tuple[str, str], Cell]:
    return {(cell.labels["stage"], cell.labels["method"]): cell for cell in planned}


def test_what_is_chosen_on_images_held_out_is_tested(workspace: Workspace) -> None:
    planned = cells("best_ternary")
    place = by_place(planned)
    for method, error in (("full_precision", 0.1), ("seq", 0.095), (CHOSEN, 0.09)):
        put(workspace, place["selection", method], trained(place["selection", method], 1, error))
    tested = (0.105, 0.08, 0.085), (0.106, 0.082, 0.088), (0.104, 0.084, 0.086)
    for seed, errors in enumerate(tested, 1):
        for method, error in zip(("full_precision", "control", CHOSEN), errors, strict=True):
            cell = place["test", method]
            put(workspace, cell, trained(cell, seed, error))
    table = best_ternary(planned, workspace)
    rows = {row[0]: row[2:] for row in table.rows}
    assert len(rows) == 14
    assert rows["full precision"] == ["10.00 (n=1)", "10.50 ± 0.10 (n=3)", "-", "-"]
    *errors, against, against_control = rows["TWN, distilled (chosen so far)"]
    assert errors == ["9.00 (n=1)", "8.63 ± 0.15 (n=3)"]
    assert against.startswith("-1.87 [-")
    assert against_control.startswith("+0.43 [-")
    control = rows["full precision, trained further and distilled (control)"]
    assert control[:2] == ["-", "8.20 ± 0.20 (n=3)"]
    assert control[2].startswith("-2.30 [-")
    assert control[3] == "-"
    assert rows["SEQ"] == ["9.50 (n=1)", "-", "-", "-"]
    assert rows["TTQ"] == ["not run", "-", "-", "-"]
    assert "does not have the lowest" not in table.note
    put(workspace, place["selection", "ttq"], trained(place["selection", "ttq"], 1, 0.08))
    table = best_ternary(planned, workspace)
    assert not [row for row in table.rows if "chosen" in row[0]]
    note = table.note
    assert f"- `{CHOSEN}` is tested, but does not have the lowest held-out error; `ttq` has" in note


def test_the_choice_is_made_once_all_candidates_have_run(workspace: Workspace) -> None:
    planned = cells("best_ternary")
    place = by_place(planned)
    selection = [cell for (stage, _), cell in place.items() if stage == "selection"]
    for cell in selection:
        put(workspace, cell, trained(cell, 1, 0.09 if cell.labels["method"] == CHOSEN else 0.1))
    titles = [row[0] for row in best_ternary(planned, workspace).rows]
    assert [title for title in titles if "chosen" in title] == ["TWN, distilled (chosen)"]


def test_candidates_are_compared_over_the_seeds_that_all_have(workspace: Workspace) -> None:
    """TTQ has the lower mean, but not at the seed of the other."""
    planned = cells("best_ternary")
    place = by_place(planned)
    for method, errors in ((CHOSEN, (0.09,)), ("ttq", (0.1, 0.05, 0.05))):
        for seed, error in enumerate(errors, 1):
            cell = place["selection", method]
            put(workspace, cell, trained(cell, seed, error))
    assert "does not have the lowest" not in best_ternary(planned, workspace).note


def test_candidates_without_a_common_seed_are_not_compared(workspace: Workspace) -> None:
    planned = cells("best_ternary")
    place = by_place(planned)
    for seed, method in enumerate((CHOSEN, "ttq"), 1):
        cell = place["selection", method]
        put(workspace, cell, trained(cell, seed, 0.09))
    table = best_ternary(planned, workspace)
    assert not [row for row in table.rows if "chosen" in row[0]]
    assert "- the candidates that ran have no seed in common, so that none is chosen" in table.note


@pytest.mark.parametrize("on_gpu", COMPARED)
def test_a_row_across_machines_says_so(on_gpu: tuple[str, str], workspace: Workspace) -> None:
    """Whichever run is on the GPU: held out or tested, ours or the one it is compared with."""
    planned = cells("best_ternary")
    place = by_place(planned)
    for stage, method in COMPARED:
        machine = ON_GPU if (stage, method) == on_gpu else ON_CPU
        cell = place[stage, method]
        put(workspace, cell, trained(cell, 1, provenance=machine))
    rows = {row[0]: row for row in best_ternary(planned, workspace).rows}
    assert rows["TWN, distilled (chosen so far)"][1].endswith(", CPU and GPU")
    assert "GPU" not in rows["SEQ"][1]


def test_nothing_is_chosen_before_it_was_compared(workspace: Workspace) -> None:
    planned = cells("best_ternary")
    place = by_place(planned)
    put(workspace, place["test", CHOSEN], trained(place["test", CHOSEN], 1))
    table = best_ternary(planned, workspace)
    assert "TWN, distilled" in [row[0] for row in table.rows]
    assert f"- `{CHOSEN}` is tested, but has not been chosen by its held-out error" in table.note


def test_one_seed_has_no_interval(workspace: Workspace) -> None:
    planned = cells("best_ternary")
    place = by_place(planned)
    for method, error in (("full_precision", 0.1), (CHOSEN, 0.09)):
        put(workspace, place["test", method], trained(place["test", method], 1, error))
    rows = {row[0]: row[2:] for row in best_ternary(planned, workspace).rows}
    assert rows["TWN, distilled"][2] == "-1.00 (n=1)"


def test_a_method_asked_for_alone_is_compared_with_nothing(workspace: Workspace) -> None:
    planned = [cell for cell in cells("best_ternary") if cell.labels["method"] == CHOSEN]
    cell = by_place(planned)["test", CHOSEN]
    put(workspace, cell, trained(cell, 1, 0.09))
    (row,) = best_ternary(planned, workspace).rows
    assert row[2:] == ["not run", "9.00 (n=1)", "-", "-"]


def test_without_records_nothing_is_made_up(workspace: Workspace) -> None:
    text = best_ternary(cells("best_ternary"), workspace).markdown()
    command = "make reproduce-best-ternary BUDGET=short STAGES={} PRECISION=bf16 DATA_DIR=...{}`"
    assert command.format("selection", "") in text
    assert command.format("test", " METHODS=full_precision,control") in text
    assert text.count("not run") == 13 + 3 + 2, "held out, tested, and the commands"
    assert f"- `{CHOSEN}` is to be tested, but has not been chosen by its held-out error" in text


def test_the_test_is_to_be_run_once_its_method_is_chosen(workspace: Workspace) -> None:
    planned = cells("best_ternary")
    candidates = [cell for (stage, _), cell in by_place(planned).items() if stage == "selection"]
    command = "`make reproduce-best-ternary BUDGET=short STAGES=test PRECISION=bf16 DATA_DIR=...`"
    for cell in candidates:
        assert command not in best_ternary(planned, workspace).note
        error = 0.08 if cell.labels["method"] == CHOSEN else 0.09
        put(workspace, cell, trained(cell, 1, error))
    table = best_ternary(planned, workspace)
    assert "TWN, distilled (chosen)" in [row[0] for row in table.rows]
    assert command in table.note, "of all methods to be tested"


def test_a_test_that_is_left_out_says_how_to_run_it_again(workspace: Workspace) -> None:
    planned = cells("best_ternary")
    place = by_place(planned)
    parent, ours = place["test", "full_precision"], place["test", CHOSEN]
    put(workspace, parent, trained(parent, 1, weights_sha256="p"))
    put(workspace, ours, child(ours, 1, started_from="another"))
    with pytest.warns(UserWarning, match="seed 1 is left out"):
        note = best_ternary(planned, workspace).note
    assert (
        f"- left out; to train it again, delete `results/records/cifar10/{ours.run.identity}"
        in note
    )


def test_caveats_name_the_stage_of_a_run(workspace: Workspace) -> None:
    planned = cells("best_ternary")
    cell = by_place(planned)["selection", CHOSEN]
    put(workspace, cell, trained(cell, 1, provenance={"dirty": True}))
    note = best_ternary(planned, workspace).note
    assert f"- TWN, distilled, selection, seed 1 ({cell.setting}): trained from a" in note


def test_one_method_is_tested() -> None:
    tested = [method for stage, method in by_place(cells("best_ternary")) if stage == "test"]
    assert tested == ["full_precision", CHOSEN, "control"]


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
