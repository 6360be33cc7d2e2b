from __future__ import annotations

from typing import Any

import pytest

from tests.cells import cells, put
from tests.records import record
from tests.report.plain_records import child, trained
from ttq_repro.report.ablations import ablations
from ttq_repro.runs.workspace import Workspace


def leaves(node: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    if not isinstance(node, dict):
        return {path: node}
    return {k: v for key, child in node.items() for k, v in leaves(child, (*path, key)).items()}


def test_rows_beside_the_baseline_and_their_parent(workspace: Workspace) -> None:
    planned = cells("ablations")
    parent = planned[0].run.parent
    assert parent is not None
    record(identity=parent.identity, weights_sha256="p", test_error={"final": 0.0}).write(
        workspace.record(parent)
    )
    put(workspace, planned[0], child(planned[0], 1, 0.1))
    put(workspace, planned[2], child(planned[2], 1, 0.11))
    first, _, tied, *_ = ablations(planned, workspace).rows
    setting = planned[0].setting
    assert first == [
        "TTQ, the baseline", "-", setting, "10.00 (n=1)", "-", "+10.00 (n=1)"
    ]  # fmt: skip
    assert tied == [
        "one scale, W_p = W_n", "`++quantizer.tied_scales=true`", setting,
        "11.00 (n=1)", "+1.00 (n=1)", "+11.00 (n=1)",
    ]  # fmt: skip


def test_what_is_missing_names_its_command(workspace: Workspace) -> None:
    table = ablations(cells("ablations", "short", "precision=bf16"), workspace)
    assert {tuple(row[3:]) for row in table.rows} == {("not run", "-", "-")}
    assert (
        "- not run: `make reproduce-ablations BUDGET=short PRECISION=bf16 DATA_DIR=...`"
        in table.note
    )


def test_changes_from_another_parent_are_not_compared(workspace: Workspace) -> None:
    planned = cells("ablations")
    for cell in planned[:2]:
        put(workspace, cell, child(cell, 1, 0.1))
    put(workspace, planned[2], child(planned[2], 1, 0.11, started_from="another"))
    with pytest.warns(UserWarning, match="started from other weights of resnet20-full_precision"):
        rows = ablations(planned, workspace).rows
    assert [row[3] for row in rows[:3]] == ["10.00 (n=1)", "10.00 (n=1)", "left out"]


def test_a_change_at_another_setting_stands_with_its_own_baseline(workspace: Workspace) -> None:
    short, paper = (cells("ablations", budget, "precision=bf16") for budget in ("short", "paper"))
    for cell, error in ((short[0], 0.1), (short[1], 0.105), (short[2], 0.11), (paper[1], 0.12)):
        put(workspace, cell, child(cell, 1, error))
    rows = ablations([*paper, *short], workspace).rows
    assert len(rows) == len(short) + 5, "of the other setting the baseline and its own changes"
    assert [row[2:5] for row in (rows[0], rows[1])] == [
        ["short, bf16", "10.00 (n=1)", "-"], ["short, bf16", "10.50 (n=1)", "+0.50 (n=1)"]
    ]  # fmt: skip
    assert [row[0:5] for row in rows[-5:-3]] == [
        ["TTQ, the baseline", "-", "paper, bf16", "not run", "-"],
        [
            "learning rate 0.1 from the first step", "`recipe=paper_finetune`",
            "paper, bf16", "12.00 (n=1)", "-",
        ],
    ]  # fmt: skip
    assert [row[2:4] for row in rows[-3:]] == [["paper, bf16", "not run"]] * 3


def test_each_change_is_one_field_away_from_the_baseline() -> None:
    baseline, *changed = cells("ablations", "paper")
    before = leaves(baseline.run.science)
    for cell in changed:
        after = leaves(cell.run.science)
        differing = {key for key in before | after if before.get(key) != after.get(key)}
        if cell.labels["change"] == "postactivation":
            # The parent is a different network, too.
            assert differing == {("model", "preactivation"), ("parent",)}
        elif cell.labels["change"] == "no_warm_up":
            assert {key[:2] for key in differing} == {("recipe", "warm_up")}
        elif cell.labels["change"] == "log_batches":
            # These fields are one change: how much of the data a step and an epoch see.
            fields = {"batch_size", "epochs", "schedule"}
            assert {key[:2] for key in differing} == {("recipe", field) for field in fields}
        else:
            assert len(differing) == 1, cell.labels["change"]
            assert cell.run.parent.identity == baseline.run.parent.identity
    assert len({cell.run.identity for cell in changed}) == len(changed)


def test_what_is_to_be_known_of_a_run_stands_below(workspace: Workspace) -> None:
    planned = cells("ablations")
    put(workspace, planned[2], trained(planned[2], 1, provenance={"dirty": True}))
    assert ablations(planned, workspace).note.startswith(
        f"- one scale, W_p = W_n, seed 1 ({planned[2].setting}): trained from a checkout with "
    )


def test_a_trial_says_what_it_is_not(workspace: Workspace) -> None:
    trial = cells("ablations", "smoke", "dataset=digits")
    text = ablations(trial, workspace).markdown()
    assert "Not the paper's numbers" in text
