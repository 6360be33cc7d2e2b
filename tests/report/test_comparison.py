from __future__ import annotations

import pytest

from tests.cells import cells, put
from tests.records import ON_CPU, ON_GPU, record
from tests.report.plain_records import child, trained
from ttq_repro.report.compare import Outcome, difference, mismatched, weights_of
from ttq_repro.report.comparison import comparison
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.record import Record
from ttq_repro.runs.workspace import Workspace

METHODS = ("full_precision", "control", "ttq")


def compared(budget: str = "short", *overrides: str) -> list[Cell]:
    return cells("comparison", budget, f"+only.method=[{','.join(METHODS)}]", *overrides)


def failing(error: float, seed: int = 1, wrong_from: int = 0) -> Record:
    """A record of a network that fails on this share of 1,000 successive images."""
    return record(seed=seed, test_error={"final": error}, wrong_from=wrong_from)


def test_rows_beside_parent_and_control(workspace: Workspace) -> None:
    planned = parent, control, ttq = compared()
    put(
        workspace, parent,
        trained(parent, 1, 0.1, weights_sha256="p", test_error={"trailing": 0.12}),
    )  # fmt: skip
    put(workspace, control, child(control, 1, 0.09, test_error={"trailing": 0.11}))
    put(workspace, ttq, child(ttq, 1, 0.11, test_error={"trailing": 0.13}))
    rows = comparison(planned, workspace).rows
    assert [row[0] for row in rows] == [cell.labels["title"] for cell in planned]
    assert [row[2:] for row in rows] == [
        ["32", "10.00 (n=1)", "12.00", "-", "-"],
        ["32", "9.00 (n=1)", "11.00", "-1.00 (n=1)", "-"],
        ["2", "11.00 (n=1)", "13.00", "+1.00 (n=1)", "+2.00 (n=1)"],
    ]


def test_a_method_at_another_setting_stands_with_its_own_references(workspace: Workspace) -> None:
    paper, short = (compared(budget, "precision=bf16") for budget in ("paper", "short"))
    put(workspace, short[0], trained(short[0], 1, 0.1, weights_sha256="p"))
    put(workspace, short[2], child(short[2], 1, 0.11))
    put(workspace, paper[2], child(paper[2], 1, 0.08))
    rows = comparison([*paper, *short], workspace).rows
    assert [(row[1], row[3], row[5]) for row in rows] == [
        ("short, bf16", "10.00 (n=1)", "-"),
        ("short, bf16", "not run", "-"),
        ("short, bf16", "11.00 (n=1)", "+1.00 (n=1)"),
        ("paper, bf16", "not run", "-"),
        ("paper, bf16", "not run", "-"),
        ("paper, bf16", "8.00 (n=1)", "-"),
    ]
    put(workspace, paper[0], trained(paper[0], 1, 0.07, weights_sha256="p"))
    workspace.record(paper[2].run).unlink()
    assert len(comparison([*paper, *short], workspace).rows) == 3, "references alone say nothing"


def test_differences_pair_images_and_seeds() -> None:
    two = {seed: failing(0.1, seed) for seed in (1, 2)}
    assert difference(two, two) == "+0.00 [+0.00, +0.00] (n=2)"
    # A second seed that fails on the same images tells nothing new about images.
    disjoint = {seed: failing(0.1, seed, wrong_from=500) for seed in (1, 2)}
    assert difference(two, disjoint) == "+0.00 [-2.77, +2.77] (n=2)"
    others = {seed: failing(0.1, seed, wrong_from=400 + 100 * seed) for seed in (1, 2)}
    assert difference(two, others) == "+0.00 [-9.20, +9.20] (n=2)", "seeds that agree by chance"
    assert difference(two, {2: failing(0.09, 2), 3: failing(0.0, 3)}) == "+1.00 (n=1)"
    assert difference(two, {3: failing(0.0, 3)}) == "-"


def test_a_row_says_where_it_is_of_several_kinds_of_machine(workspace: Workspace) -> None:
    planned = parent, control, ttq = compared()
    for seed, machine in ((1, ON_CPU), (2, ON_GPU)):
        put(workspace, parent, trained(parent, seed, weights_sha256="p", provenance=machine))
    put(workspace, control, child(control, 1, provenance=ON_CPU))
    put(workspace, ttq, child(ttq, 1, provenance=ON_GPU))
    setting = parent.setting
    assert [row[1] for row in comparison(planned, workspace).rows] == [
        f"{setting}, CPU and GPU",
        setting,
        f"{setting}, CPU and GPU",
    ], "the control and its parent's seed were both trained on a CPU"


def test_what_is_missing_names_its_command(workspace: Workspace) -> None:
    table = comparison(compared(), workspace)
    assert [row[3:] for row in table.rows] == [["not run", "-", "-", "-"]] * len(METHODS)
    assert table.note == (
        "- not run: `make reproduce-comparison BUDGET=short PRECISION=bf16 DATA_DIR=... "
        f"METHODS={','.join(METHODS)}`"
    )


def test_networks_of_different_parents_are_not_compared(workspace: Workspace) -> None:
    planned = parent, _, ttq = compared()
    put(workspace, parent, trained(parent, 2, weights_sha256="p", test_error={"trailing": 0.12}))
    put(workspace, ttq, child(ttq, 2, started_from="another"))
    with pytest.warns(UserWarning, match=r"resnet20-ttq-.* seed 2 is left out: .* other weights"):
        table = comparison(planned, workspace)
    assert [row[3:] for row in table.rows] == [
        ["10.00 (n=1)", "12.00", "-", "-"],
        ["not run", "-", "-", "-"],
        ["left out", "-", "-", "-"],
    ]  # fmt: skip
    command = "make reproduce-comparison BUDGET=short PRECISION=bf16{} DATA_DIR=... METHODS={}`"
    identity = ttq.run.identity
    assert table.note.splitlines() == [
        f"- left out; to train it again, delete `results/records/cifar10/{identity}/seed2.json`, "
        f"then run `{command.format(' SEEDS=2', 'ttq')}",
        f"- not run: `{command.format('', 'control')}",
    ]


@pytest.mark.parametrize("order", [1, -1])
def test_most_children_say_what_a_parent_without_a_record_was(
    order: int, workspace: Workspace
) -> None:
    """In any order, and whether or not a table shows them, as the ledger knows all of them."""
    _, control, ttq = compared()
    for cell, weights in ((control, "before"), (ttq, "now")):
        put(workspace, cell, child(cell, 1, 0.09, started_from=weights))
    sibling = child(ttq, 1, started_from="now", identity="sibling")
    sibling.write(workspace.record(ttq.run).parents[1] / "sibling" / "seed1.json")
    shown = [control, ttq][::order]
    with pytest.warns(UserWarning, match="is left out"):
        rows = comparison(shown, workspace).rows
    assert {row[0]: row[3] for row in rows} == {
        control.labels["title"]: "left out",
        ttq.labels["title"]: "9.00 (n=1)",
    }


def test_networks_tested_on_other_images_are_not_compared() -> None:
    fewer, usual = record(seed=2, test_images=120), record(seed=2, identity="b")
    with pytest.warns(UserWarning, match=r"a-1 seed 2 on 120, b seed 2 on 1000"):
        assert difference({2: fewer}, {2: usual}) == "-"


def test_what_is_to_be_known_of_a_run_stands_below(workspace: Workspace) -> None:
    planned = _, _, ttq = compared()
    put(workspace, ttq, child(ttq, 1, provenance={"dirty": True}))
    title, setting = ttq.labels["title"], ttq.setting
    assert comparison(planned, workspace).note.startswith(
        f"- {title}, seed 1 ({setting}): trained from a checkout with uncommitted changes\n"
    )


def test_digits_never_pass_for_a_result(workspace: Workspace) -> None:
    text = comparison(compared("smoke", "dataset=digits"), workspace).markdown()
    assert "Not the paper's numbers" in text


def test_differences_of_fewer_seeds_name_the_errors_they_start_from(workspace: Workspace) -> None:
    planned = parent, control, ttq = compared()
    for seed, error in ((1, 0.1), (2, 0.12), (3, 0.08)):
        put(workspace, parent, trained(parent, seed, error, weights_sha256="p"))
    for seed in (1, 2):
        put(workspace, ttq, child(ttq, seed, 0.11))
    put(workspace, control, child(control, 2, 0.09))
    notes = comparison(planned, workspace).note.splitlines()
    name = f"- full precision (the parent) ({parent.setting}), from which others differ"
    assert notes[0] == f"{name} seed by seed: 10.00 (seed 1), 12.00 (seed 2)"
    for cell in (control, ttq):
        for seed in (1, 2, 3):
            put(workspace, cell, child(cell, seed, 0.11))
    assert comparison(planned, workspace).note == "", "the mean shown is what they differ from"


def test_networks_of_ones_own_are_nobodys_parent() -> None:
    """Runs with parent=PATH have a parent without an identity, each its own."""
    runs = [
        record(identity=f"net-{weights}", parent={"identity": None, "weights_sha256": weights})
        for weights in "aab"
    ]
    outcomes = [Outcome.of(run) for run in runs]
    assert mismatched(outcomes, weights_of(outcomes)) == []
