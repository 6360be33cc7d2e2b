from pathlib import Path

import pytest

from tests.runs.test_record import record
from ttq_repro.files import write_atomically
from ttq_repro.runs.config import compose_config
from ttq_repro.runs.plan import duration, make_plan
from ttq_repro.runs.run import Run
from ttq_repro.runs.workspace import Workspace


def cell(name: str, *overrides: str) -> Run:
    return Run(compose_config("train", [f"experiment=table1/{name}", *overrides]))


def write(run: Run, workspace: Workspace, seconds: float, processor: str = "a CPU") -> None:
    provenance = {
        "accelerator": "CPUAccelerator", "finished": "2026-01-01", "processor": processor
    }  # fmt: skip
    made = record(config=run.config, metrics={"seconds": [seconds]}, provenance=provenance)
    made.write(workspace.record(run))


@pytest.fixture(autouse=True)
def on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ttq_repro.runs.plan.has_gpu", lambda: False)
    monkeypatch.setattr("ttq_repro.runs.plan.processor", lambda: "a CPU")


def test_parents_come_first_and_shared_runs_once(tmp_path: Path) -> None:
    child, parent = cell("resnet20_ttq"), cell("resnet20_fp")
    plan = make_plan([child, parent, child], Workspace(tmp_path))
    assert [p.run.identity for p in plan.runs] == [parent.identity, child.identity]


def test_finds_what_is_done_and_estimates_the_rest(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    parent = cell("resnet20_fp")
    write(parent, workspace, seconds=36)
    write_atomically(workspace.weights(parent), b"weights")
    plan = make_plan([cell("resnet20_ttq"), cell("resnet56_fp")], workspace)
    assert [p.done for p in plan.runs] == [True, False, False]
    assert plan.runs[1].seconds == 160 * 36
    assert plan.runs[2].seconds == 164 * 36 * 3
    assert plan.lines()[-1] == "2 of 3 runs to train, about 6.5 h"


def test_the_most_alike_record_tells_the_speed(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    write(cell("resnet20_fp", "trainer.precision=bf16"), workspace, 10)
    write(cell("resnet20_fp", "trainer.precision=fp32"), workspace, 100, "another CPU")
    write(cell("resnet32_fp", "trainer.precision=fp32"), workspace, 50)
    plan = make_plan([cell("resnet20_ttq", "trainer.precision=fp32")], workspace)
    assert plan.runs[1].seconds == 160 * 50 * 18 / 30
    assert "a CPU, in fp32" in plan.lines()[1]
    plan = make_plan([cell("resnet20_ttq", "trainer.precision=bf16")], workspace)
    assert plan.runs[1].seconds == 160 * 10


def test_without_any_record_the_time_is_unknown(tmp_path: Path) -> None:
    plan = make_plan([cell("resnet20_fp")], Workspace(tmp_path))
    assert plan.runs[0].seconds is None
    assert "time unknown" in plan.lines()[-1]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "time unknown"), (42, "about 42 s"), (600, "about 10 min"), (7200, "about 2.0 h")],
)
def test_durations(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words
