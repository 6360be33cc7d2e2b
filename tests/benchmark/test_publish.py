"""Trials of a benchmark leave the committed tables alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.processes import script
from ttq_repro.benchmark.publish import benchmark_name, publish
from ttq_repro.runs.config import Config, compose_config
from ttq_repro.table import Table

SMALL = (
    "networks=[{title: small, codes_from: here, "
    "overrides: ['model=resnet20','model.depth=8','quantizer=ttq'], side: 32}]"
)


def written(name: str, overrides: list[str], workspace: Path) -> list[str]:
    """The folders into which the one table of a request goes."""

    def measure(_: Config) -> list[tuple[str, Table]]:
        return [("speed", Table("", ["s"], [["1"]]))]

    publish(name, compose_config(name, [*overrides, f"workspace={workspace}"]), measure)
    tables = workspace.glob("*/benchmarks/speed.csv")
    return [table.relative_to(workspace).parts[0] for table in tables]


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("benchmark", []),
        ("benchmark", ["parts=[scale]"]),
        ("benchmark", ["accelerator=cpu"]),
        ("benchmark_inference", []),
        ("benchmark_inference", ["networks=[]"]),
        ("sizes", []),
    ],
)
def test_what_is_committed_is_measured_as_committed(
    name: str, overrides: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert written(name, overrides, tmp_path) == ["results"]
    assert "a trial" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "overrides", "other"),
    [
        ("benchmark", ["seconds=1", "threads=1"], "threads, seconds"),
        ("benchmark", ["models=[resnet20]", "parts=[scale]"], "models"),
        ("benchmark", ["targets.ttq=2"], "targets"),
        ("benchmark", ["overrides=['model.depth=8']"], "overrides"),
        ("benchmark_inference", ["seconds=1"], "seconds"),
        ("benchmark_inference", ["targets=[]"], "targets"),
        ("sizes", [SMALL], "networks"),
    ],
)
def test_a_trial_goes_elsewhere_and_says_so(
    name: str,
    overrides: list[str],
    other: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert written(name, overrides, tmp_path) == ["outputs"]
    first = capsys.readouterr().out.splitlines()[0]
    assert first == (
        f"a trial, as configs/{name}.yaml has other {other}: its tables go to "
        f"{tmp_path}/outputs/benchmarks"
    )


def test_a_script_does_so(tmp_path: Path) -> None:
    done = script("sizes", SMALL, f"workspace={tmp_path}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "results").exists()
    names = ["operations", "operations_by_layer", "sizes"]
    tables = (tmp_path / "outputs" / "benchmarks").glob("*.csv")
    assert sorted(table.stem for table in tables) == names


def test_a_name_says_what_on_which_hardware_and_when() -> None:
    assert benchmark_name("training", "A CPU (2.5 GHz), 2 cores").startswith(
        "training_a-cpu-2-5-ghz-2-cores_20"
    )
