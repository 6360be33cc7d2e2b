"""The comparison of mixed bfloat16 with float32."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.cells import cells, put
from tests.records import ON_CPU, ON_GPU
from tests.report.plain_records import trained
from ttq_repro.report.equality import equality
from ttq_repro.runs.cell import Cell, result_cells
from ttq_repro.runs.config import compose_config
from ttq_repro.runs.workspace import Workspace

IMAGES = 10_000


@pytest.fixture
def planned() -> list[Cell]:
    return result_cells(compose_config("reproduce", ["artifact=equality"]))


def fill(
    planned: list[Cell],
    workspace: Workspace,
    precision: str,
    wrong: Sequence[int],
    machines: str = "",
    compiled: Sequence[bool] = (),
    images: int = IMAGES,
) -> None:
    """Write full-precision records at ``short``, one per seed.

    Args:
        wrong: on how many images each fails.
        machines: C or G for each, a CPU or a GPU.
        compiled: whether each was.
    """
    (cell,) = (
        cell
        for cell in planned
        if (cell.labels["method"], cell.setting) == ("full_precision", f"short, {precision}")
    )
    for seed, count in enumerate(wrong, 1):
        machine = ON_GPU if machines[seed - 1 : seed] == "G" else ON_CPU
        made = trained(
            cell, seed, count / images, test_images=images,
            provenance=machine | {"compiled": any(compiled[seed - 1 : seed])},
        )  # fmt: skip
        put(workspace, cell, made)


@pytest.mark.parametrize(
    ("bf16", "difference", "said"),
    [
        ((1002, 1011, 999), "+0.04 [", "agree"),
        ((1021, 1026, 1016), "+0.21 [", "agree, but not equal"),
        ((1102, 1111, 1099), "+1.04 [", "differ"),
        ((1052, 1011, 960), "+0.08 [", "undecided at this n"),
        ((1000,), "+0.00 (n=1)", "undecided at this n"),
    ],
)
def test_the_interval_of_the_difference_decides(
    bf16: tuple[int, ...], difference: str, said: str, planned: list[Cell], workspace: Workspace
) -> None:
    fill(planned, workspace, "fp32", (1000, 1005, 995))
    fill(planned, workspace, "bf16", bf16)
    rows = equality(planned, workspace).rows
    (row,) = rows
    assert row[:2] == ["full precision", "short"]
    assert row[2:5] == ["CPU", "same as bf16", "10.00 ± 0.05 (n=3)"]
    assert row[6].startswith(difference)
    assert row[7] == said


def test_plain_float32_is_compared_with_any_execution(
    planned: list[Cell], workspace: Workspace
) -> None:
    for precision, compiled in (("fp32", False), ("fp32, plain", False), ("bf16", True)):
        fill(planned, workspace, precision, (1000, 1005, 995), compiled=[compiled] * 3)
    same, plain = equality(planned, workspace).rows
    errors = ["10.00 ± 0.05 (n=3)"] * 2
    assert same[3:] == ["same as bf16", *errors, "-", "different execution"]
    assert plain[3:6] == ["plain", *errors]
    assert plain[6].startswith("+0.00 [")
    assert plain[7] == "agree"


def test_of_several_executions_those_of_both_paths_are_compared(
    planned: list[Cell], workspace: Workspace
) -> None:
    fill(planned, workspace, "fp32", (1000, 1005, 995, 2000), compiled=(True, True, True, False))
    fill(planned, workspace, "bf16", (1000, 1005, 995), compiled=(True, True, True))
    (row,) = equality(planned, workspace).rows
    assert row[4] == row[5] == "10.00 ± 0.05 (n=3)"


def test_precisions_are_compared_on_one_kind_of_machine(
    planned: list[Cell], workspace: Workspace
) -> None:
    fill(planned, workspace, "fp32", (1000, 1005, 995), "GGG")
    fill(planned, workspace, "bf16", (1500, 1010, 1000), "CGG")
    (on_gpu,) = equality(planned, workspace).rows
    assert on_gpu[2:6] == ["GPU", "same as bf16", "10.00 ± 0.05 (n=3)", "10.05 ± 0.07 (n=2)"]
    assert on_gpu[6].startswith("+0.05 [")
    assert on_gpu[6].endswith("(n=2)")


def test_runs_tested_on_other_images_are_not_compared(
    planned: list[Cell], workspace: Workspace
) -> None:
    fill(planned, workspace, "fp32", (1000, 1005, 995))
    fill(planned, workspace, "bf16", (500, 505, 495), images=5_000)
    with pytest.warns(UserWarning, match="the numbers of test images differ"):
        (row,) = equality(planned, workspace).rows
    assert row[6:] == ["-", "left out"]


def test_a_trial_is_of_one_precision(workspace: Workspace) -> None:
    trial = cells("equality", "smoke", "dataset=digits")
    put(workspace, trial[0], trained(trial[0], 1))
    assert equality(trial, workspace).rows == []


def test_what_the_kind_of_machine_does_is_told(planned: list[Cell], workspace: Workspace) -> None:
    fill(planned, workspace, "bf16", (1050, 1055, 1045, 1000, 1005, 995), "CCCGGG")
    fill(planned, workspace, "fp32", (1000, 1005, 995), "GGG")
    first, *others = equality(planned, workspace).note.splitlines()
    assert first.startswith(
        "- full precision, short, bf16: 10.50 ± 0.05 (n=3) on CPUs, 10.00 ± 0.05 (n=3) on GPUs, "
        "difference +0.50 ["
    )
    assert first.endswith("(n=3): undecided at this n, but not equal")
    assert not [line for line in others if "on CPUs" in line]


def test_only_runs_that_are_shown_have_caveats(planned: list[Cell], workspace: Workspace) -> None:
    bf16 = next(cell for cell in planned if cell.setting == "short, bf16")
    put(workspace, bf16, trained(bf16, 1, provenance={"dirty": True}))
    assert "uncommitted" not in equality(planned, workspace).note
    fp32 = next(cell for cell in planned if cell.setting == "short, fp32")
    put(workspace, fp32, trained(fp32, 1))
    assert "uncommitted" in equality(planned, workspace).note


def test_without_records_nothing_is_made_up(planned: list[Cell], workspace: Workspace) -> None:
    text = equality(planned, workspace).markdown()
    assert "agree" not in text.partition("| --- |")[2]
    assert "make reproduce-equality BUDGET=paper PRECISION=fp32 DATA_DIR=..." in text
