from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.records import PROVENANCE, record
from ttq_repro.report.compare import difference
from ttq_repro.report.comparison import comparison
from ttq_repro.runs.cell import Cell, cells_of
from ttq_repro.runs.config import compose_config
from ttq_repro.runs.record import Record, pack_correct
from ttq_repro.runs.workspace import Workspace

METHODS = ("full_precision", "control", "ttq")


def cells(budget: str = "paper", *overrides: str) -> list[Cell]:
    only = f"+only.method=[{','.join(METHODS)}]"
    request = compose_config("reproduce", ["artifact=comparison", only, *overrides])
    return cells_of(request, budget)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def made(wrong: range, seed: int = 1, parent: str | None = "p", weights: str = "w") -> Record:
    """A record of a network that fails on the images of ``wrong`` among 1,000."""
    correct = np.ones(1000, bool)
    correct[list(wrong)] = False
    return record(
        seed=seed,
        test_error={"final": len(wrong) / 1000, "trailing": len(wrong) / 1000 + 0.02},
        correct=pack_correct(correct),
        test_images=1000,
        weights_sha256=weights,
        parent=None if parent is None else {"identity": "p", "weights_sha256": parent},
    )


def put(cells: list[Cell], workspace: Workspace, method: str, *records: Record) -> None:
    (cell,) = (cell for cell in cells if cell.labels["method"] == method)
    for one in records:
        parent = one.parent and one.parent | {"identity": cell.run.parent.identity}
        placed = replace(one, identity=cell.run.identity, parent=parent)
        placed.write(workspace.record(cell.run.with_seed(one.seed)))


def test_rows_beside_parent_and_control(workspace: Workspace) -> None:
    planned = cells()
    put(planned, workspace, "full_precision", made(range(100), parent=None, weights="p"))
    put(planned, workspace, "control", made(range(90)))
    put(planned, workspace, "ttq", made(range(110)))
    rows = comparison(planned, workspace).rows
    assert [row[0] for row in rows] == [cell.labels["title"] for cell in planned]
    assert [row[2:] for row in rows] == [
        ["32", "10.00 (n=1)", "12.00", "-", "-"],
        ["32", "9.00 (n=1)", "11.00", "-1.00 (n=1)", "-"],
        ["2", "11.00 (n=1)", "13.00", "+1.00 (n=1)", "+2.00 (n=1)"],
    ]


def test_a_method_at_another_setting_stands_with_its_own_references(workspace: Workspace) -> None:
    paper, short = (cells(budget, "precision=bf16") for budget in ("paper", "short"))
    put(short, workspace, "full_precision", made(range(100), parent=None, weights="p"))
    put(short, workspace, "ttq", made(range(110)))
    put(paper, workspace, "ttq", made(range(80)))
    rows = comparison([*paper, *short], workspace).rows
    assert [(row[1], row[3], row[5]) for row in rows] == [
        ("short, bf16", "10.00 (n=1)", "-"),
        ("short, bf16", "not run", "-"),
        ("short, bf16", "11.00 (n=1)", "+1.00 (n=1)"),
        ("paper, bf16", "not run", "-"),
        ("paper, bf16", "not run", "-"),
        ("paper, bf16", "8.00 (n=1)", "-"),
    ]
    put(paper, workspace, "full_precision", made(range(70), parent=None, weights="p"))
    workspace.record(paper[2].run).unlink()
    assert len(comparison([*paper, *short], workspace).rows) == 3, "references alone say nothing"


def test_differences_pair_images_and_seeds() -> None:
    two = {seed: made(range(100), seed) for seed in (1, 2)}
    assert difference(two, two) == "+0.00 [+0.00, +0.00] (n=2)"
    # A second seed that fails on the same images tells nothing new about images.
    disjoint = {seed: made(range(500, 600), seed) for seed in (1, 2)}
    assert difference(two, disjoint) == "+0.00 [-2.77, +2.77] (n=2)"
    others = {1: made(range(500, 600), 1), 2: made(range(600, 700), 2)}
    assert difference(two, others) == "+0.00 [-2.40, +2.40] (n=2)"
    assert difference(two, {2: made(range(90), 2), 3: made(range(0), 3)}) == "+1.00 (n=1)"
    assert difference(two, {3: made(range(0), 3)}) == "-"


def test_a_row_says_where_it_is_of_several_kinds_of_machine(workspace: Workspace) -> None:
    planned = cells()
    cpu, gpu = (PROVENANCE | {"accelerator": f"{kind}Accelerator"} for kind in ("CPU", "CUDA"))
    parents = [made(range(100), seed, parent=None, weights="p") for seed in (1, 2)]
    on_cpu, on_gpu = replace(parents[0], provenance=cpu), replace(parents[1], provenance=gpu)
    put(planned, workspace, "full_precision", on_cpu, on_gpu)
    put(planned, workspace, "control", replace(made(range(90)), provenance=cpu))
    put(planned, workspace, "ttq", replace(made(range(110)), provenance=gpu))
    setting = planned[0].setting
    assert [row[1] for row in comparison(planned, workspace).rows] == [
        f"{setting}, CPU and GPU",
        setting,
        f"{setting}, CPU and GPU",
    ], "the control and its parent's seed were both trained on a CPU"


def test_what_is_missing_names_its_command(workspace: Workspace) -> None:
    table = comparison(cells(), workspace)
    assert [row[3:] for row in table.rows] == [["not run", "-", "-", "-"]] * len(METHODS)
    assert table.note == (
        "- not run: `make reproduce-comparison BUDGET=paper PRECISION=bf16 DATA_DIR=... "
        f"METHODS={','.join(METHODS)}`"
    )


def test_networks_of_different_parents_are_not_compared(workspace: Workspace) -> None:
    planned = cells()
    put(planned, workspace, "full_precision", made(range(100), 2, parent=None, weights="p"))
    put(planned, workspace, "ttq", made(range(110), 2, parent="another"))
    with pytest.warns(UserWarning, match=r"resnet20-ttq-.* seed 2 is left out: .* other weights"):
        table = comparison(planned, workspace)
    assert [row[3:] for row in table.rows] == [
        ["10.00 (n=1)", "12.00", "-", "-"],
        ["not run", "-", "-", "-"],
        ["left out", "-", "-", "-"],
    ]  # fmt: skip
    command = "make reproduce-comparison BUDGET=paper PRECISION=bf16{} DATA_DIR=... METHODS={}`"
    identity = planned[-1].run.identity
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
    control, ttq = cells()[1:]
    for cell, parent in ((control, "before"), (ttq, "now")):
        put([cell], workspace, cell.labels["method"], made(range(90), parent=parent))
    parent = {"identity": ttq.run.parent.identity, "weights_sha256": "now"}
    sibling = replace(made(range(90)), identity="sibling", parent=parent)
    sibling.write(workspace.record(ttq.run).parents[1] / "sibling" / "seed1.json")
    shown = [control, ttq][::order]
    with pytest.warns(UserWarning, match="is left out"):
        rows = comparison(shown, workspace).rows
    assert {row[0]: row[3] for row in rows} == {
        control.labels["title"]: "left out",
        ttq.labels["title"]: "9.00 (n=1)",
    }


def test_networks_tested_on_other_images_are_not_compared() -> None:
    fewer = replace(made(range(10), 2), correct=made(range(10)).correct[:20], test_images=120)
    with pytest.warns(UserWarning, match="a-1 seed 2 on 120|a-1 seed 2 on 1000"):
        assert difference({2: fewer}, {2: replace(made(range(10), 2), identity="b")}) == "-"


def test_what_is_to_be_known_of_a_run_stands_below(workspace: Workspace) -> None:
    planned = cells()
    put(
        planned,
        workspace,
        "ttq",
        replace(made(range(110)), provenance=PROVENANCE | {"dirty": True}),
    )
    title, setting = planned[-1].labels["title"], planned[-1].setting
    assert comparison(planned, workspace).note.startswith(
        f"- {title}, seed 1 ({setting}): trained from a checkout with uncommitted changes\n"
    )


def test_digits_never_pass_for_a_result(workspace: Workspace) -> None:
    text = comparison(cells("smoke", "dataset=digits"), workspace).markdown()
    assert "Not the paper's numbers" in text
