"""How the Makefile turns its variables into overrides."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from ttq_repro.files import ROOT
from ttq_repro.runs.cell import cells_of
from ttq_repro.runs.config import choices, compose_config
from ttq_repro.runs.workspace import Workspace

SELECTORS = {"DEPTHS": "depth", "STAGES": "stage", "METHODS": "method", "CHANGES": "change"}


def make(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What make says. It also takes variables from the environment, which tests may have set."""
    path = {"PATH": os.environ["PATH"]}
    return subprocess.run(
        ["make", *arguments], cwd=ROOT, env=path | environment, capture_output=True, text=True
    )


def asked(target: str, script: str = "reproduce", **variables: str) -> list[list[str]]:
    """The overrides of each call of a script that a target would make."""
    given = [f"{name}={value}" for name, value in variables.items()]
    told = make("-n", target, *given)
    assert told.returncode == 0, told.stderr
    lines = told.stdout.replace("\\\n", " ")
    calls = re.findall(rf"scripts/{script}\.py (.*?)(?:;|&&|$)", lines, re.MULTILINE)
    return [shlex.split(call) for call in calls]


@pytest.mark.parametrize("artifact", choices("artifact"))
def test_every_artifact_has_a_target_that_takes_every_selector(artifact: str) -> None:
    calls = asked(f"reproduce-{artifact.replace('_', '-')}", **dict.fromkeys(SELECTORS, "a,b"))
    assert len(calls) == (2 if artifact == "equality" else 1)
    for call in calls:
        assert f"artifact={artifact}" in call
        assert {f"+only.{label}=[a,b]" for label in SELECTORS.values()} <= {*call}


def test_a_precision_restricts_what_is_compared() -> None:
    (overrides,) = asked("reproduce-equality", PRECISION="fp32")
    assert [one for one in overrides if one.startswith("precision")] == ["precision=fp32"]


def test_without_variables_all_is_asked_for_as_published() -> None:
    (overrides,) = asked("reproduce-table1")
    assert compose_config("reproduce", overrides) == compose_config("reproduce", [])


def test_a_workspace_of_the_environment_is_somebody_elses() -> None:
    told = make("-n", "report", WORKSPACE="/var/lib/jenkins")
    assert "scripts/report.py" in told.stdout
    assert "jenkins" not in told.stdout


@pytest.mark.parametrize(
    ("target", "script"), [("reproduce-table1", "reproduce"), ("report", "report")]
)
def test_a_workspace_of_ones_own_may_have_blanks_and_counts_from_here(
    target: str, script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (overrides,) = asked(target, script, WORKSPACE="my runs")
    (tmp_path / "my runs").mkdir()
    monkeypatch.chdir(tmp_path)
    workspace = Workspace.existing(compose_config(script, overrides))
    assert workspace.results.resolve() == tmp_path / "my runs" / "results"


@pytest.mark.parametrize(
    ("variables", "overrides"),
    [
        ({"DATA": "digits"}, {"dataset": "digits", "budget": "short"}),
        ({"DATA": "digits", "BUDGET": "smoke"}, {"budget": "smoke"}),
        ({"SEEDS": "3", "JOBS": "2", "DEVICES": "2"}, {"seeds": 3, "jobs": 2, "devices": 2}),
        ({"DRY_RUN": "1", "MEASURE": "yes"}, {"dry_run": True, "measure": True}),
        ({"DRY_RUN": "no", "MEASURE": "0"}, {"dry_run": False, "measure": False}),
        ({"DRY_RUN": "False", "MEASURE": "OFF"}, {"dry_run": False, "measure": False}),
        ({"DATA_DIR": "my data"}, {"data_dir": "my data"}),
        ({"AUTHORS_LOG": "their logs"}, {"authors_log": "their logs"}),
        (
            {"DATA_DIR": "it's mine", "AUTHORS_LOG": "o'log"},
            {"data_dir": "it's mine", "authors_log": "o'log"},
        ),
        ({"PRECISION": "fp32"}, {"precision": "fp32"}),
        ({"DATA": "cifar10"}, {"dataset": "cifar10", "budget": "paper"}),
        ({"DATA_DIR": "a=b c=d"}, {"data_dir": "a=b c=d"}),
    ],
)
def test_every_variable_is_an_override(
    variables: dict[str, str], overrides: dict[str, object]
) -> None:
    (call,) = asked("reproduce-figure3", **variables)
    config = compose_config("reproduce", call)
    assert {key: config[key] for key in overrides} == overrides


def test_the_quick_start_asks_for_four_cells_on_digits() -> None:
    (call,) = asked("quickstart")
    request = compose_config("reproduce", call)
    cells = cells_of(request, request["budget"])
    assert {(cell.run.dataset, cell.labels["depth"], cell.labels["method"]) for cell in cells} == {
        ("digits", depth, method) for depth in (20, 32) for method in ("full_precision", "ttq")
    }


@pytest.mark.parametrize("target", ["reproduce-table1", "report", "quickstart"])
def test_a_mistyped_variable_is_named(target: str) -> None:
    """Ignored, it would cost hours: DEPTH=20 trains all depths."""
    told = make("-n", target, "DEPTH=20", "SEEDS=2")
    assert told.returncode == 2
    assert "DEPTH: no such variable; known are BUDGET SEEDS" in told.stderr
    assert not told.stdout, "no environment is created first"


@pytest.mark.parametrize("given", ["SEEDS:=3", "CUDA_VISIBLE_DEVICES=1", "WANDB_MODE=offline"])
def test_variables_of_other_programs_and_other_assignments_are_let_through(given: str) -> None:
    told = make("-n", "reproduce-table1", given)
    assert told.returncode == 0, told.stderr


def test_float32_is_trained_even_if_bfloat16_failed(tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\ncase "$@" in *bf16*) exit 1; esac\n'
    )
    python.chmod(0o755)
    (tmp_path / ".complete").touch()
    done = make("reproduce-equality", f"VENV={tmp_path}")
    assert done.returncode == 2
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [re.findall(r"precision=(\w+)", call)[-1] for call in calls] == ["bf16", "fp32"]
