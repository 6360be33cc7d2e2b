import pytest

from tests.cells import cells, put
from tests.records import ON_CPU, ON_GPU, record
from tests.report.plain_records import trained
from ttq_repro.errors import UserError
from ttq_repro.report.table1 import table1
from ttq_repro.runs.cell import Cell, cells_of
from ttq_repro.runs.config import compose_config
from ttq_repro.runs.workspace import Workspace


def resnet20(budget: str = "paper", *overrides: str) -> list[Cell]:
    return cells("table1", budget, "+only.depth=20", *overrides)


def put_errors(
    workspace: Workspace, cell: Cell, *errors: float, machine: dict[str, str] = ON_CPU
) -> None:
    """Write a record per seed, whose trailing mean is a point below its final error."""
    for seed, error in enumerate(errors, 1):
        made = trained(
            cell, seed, error, test_error={"trailing": error - 0.01},
            provenance=machine,
        )  # fmt: skip
        put(workspace, cell, made)


def test_a_row_beside_the_paper(workspace: Workspace) -> None:
    made = resnet20()
    put_errors(workspace, made[0], 0.0810, 0.0830)
    put_errors(workspace, made[1], 0.0900)
    (row,) = table1(made, workspace).rows
    assert row == [
        "20", made[0].setting,
        "8.23", "8.20 ± 0.14 (n=2)", "7.20",
        "8.87", "9.00 (n=1)", "8.00",
        "not run", "-",
    ]  # fmt: skip


def test_an_outlying_final_epoch_stays_the_error_and_is_told(workspace: Workspace) -> None:
    """No other epoch is chosen by looking at the test set."""
    ttq = resnet20()[1]
    outlying = record(
        identity=ttq.run.identity, config=ttq.run.config, metrics={"test_error": [0.09, 0.12] * 8}
    )
    put(workspace, ttq, outlying)
    table = table1(resnet20(), workspace)
    assert table.rows[0][6] == "12.00 (n=1)"
    assert table.note.startswith(
        f"- ResNet-20, TTQ, seed 1 ({ttq.setting}): the final epoch is an "
    )


def test_what_is_missing_is_not_run_and_names_its_command(workspace: Workspace) -> None:
    table = table1(cells("table1", "paper", "+only.depth=[20,56]"), workspace)
    for row in table.rows:
        assert row[3] == row[6] == row[8] == "not run"
        assert row[4] == row[7] == row[9] == "-"
    command = (
        "- not run: `make reproduce-table1 BUDGET=paper DEPTHS={} PRECISION=bf16 DATA_DIR=...`"
    )
    assert table.note.splitlines() == [command.format(20), command.format(56)]
    assert table.markdown().endswith(f"|\n\n{table.note}\n")


def test_a_row_never_mixes_budgets(workspace: Workspace) -> None:
    paper, short = resnet20(), resnet20("short")
    put_errors(workspace, short[0], 0.09)
    put_errors(workspace, short[1], 0.10)
    row, other = table1(paper + short, workspace).rows
    assert row[1].startswith("paper")
    assert row[3:] == ["not run", "-", "8.87", "not run", "-", "not run", "-"]
    assert other[1].startswith("short")
    put_errors(workspace, paper[0], 0.08)
    row, other = table1(paper + short, workspace).rows
    assert row[1].startswith("paper")
    assert row[3:] == ["8.00 (n=1)", "7.00", "8.87", "not run", "-", "not run", "-"]
    assert other[1].startswith("short")
    assert other[3:] == ["9.00 (n=1)", "8.00", "8.87", "10.00 (n=1)", "9.00", "not run", "-"]


def test_the_papers_budget_in_one_precision_is_enough(workspace: Workspace) -> None:
    """A machine without bfloat16 has nothing to train again."""
    settings = [resnet20("paper", f"precision={precision}") for precision in ("bf16", "fp32")]
    put_errors(workspace, settings[1][0], 0.08)
    (row,) = table1([*settings[0], *settings[1]], workspace).rows
    assert row[1] == "paper, fp32"


def test_other_beginnings_stand_below_the_table(workspace: Workspace) -> None:
    made = resnet20("paper", "precision=bf16")
    printed = next(cell for cell in made if cell.labels["method"] == "as_printed")
    assert "as printed" not in table1(made, workspace).note
    put_errors(workspace, printed, 0.12)
    table = table1(made, workspace)
    assert table.rows[0][6] == "not run"
    assert table.note.splitlines()[0] == (
        "- ResNet-20, TTQ at 0.1 from the first step, as printed (paper, bf16): 12.00 (n=1)"
    )
    assert all(cell.labels["method"] != "as_printed" for cell in resnet20("short"))


def test_a_cell_of_one_budget_is_not_to_be_had_at_another() -> None:
    with pytest.raises(UserError, match=r"only\.method=as_printed: .* no such cell at this budget"):
        resnet20("short", "+only.method=[as_printed]")
    request = compose_config("reproduce", [])
    request["artifact"]["cells"][0]["at"] = "papr"
    with pytest.raises(UserError, match="table1: at of a cell=papr: must be one of paper, short"):
        cells_of(request, "paper")


def test_a_row_across_machines_says_so(workspace: Workspace) -> None:
    """Even though each of its columns is of one kind of machine."""
    made = resnet20()
    put_errors(workspace, made[0], 0.08, machine=ON_CPU)
    put_errors(workspace, made[1], 0.09, machine=ON_GPU)
    (row,) = table1(made, workspace).rows
    assert row[1] == f"{made[0].setting}, CPU and GPU"
    put_errors(workspace, made[1], 0.09, machine=ON_CPU)
    (row,) = table1(made, workspace).rows
    assert row[1] == made[0].setting


def test_digits_never_pass_for_the_paper(workspace: Workspace) -> None:
    text = table1(resnet20("smoke", "dataset=digits"), workspace).markdown()
    assert "Not the paper's numbers" in text
