import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.runs.test_record import record
from ttq_repro.files import write_atomically
from ttq_repro.runs.config import compose_config
from ttq_repro.runs.measure import measured
from ttq_repro.runs.plan import make_plan
from ttq_repro.runs.run import Run
from ttq_repro.runs.workspace import Workspace
from ttq_repro.words import duration


def cell(name: str, *overrides: str) -> Run:
    return Run(compose_config("train", [f"experiment=table1/{name}", *overrides]))


def write(
    run: Run, workspace: Workspace, seconds: float, processor: str = "a CPU", threads: int = 4
) -> None:
    provenance = {
        "accelerator": "CPUAccelerator", "finished": "2026-01-01", "processor": processor,
        "threads": threads,
    }  # fmt: skip
    made = record(
        identity=run.identity, seed=run.seed, config=run.config,
        metrics={"seconds": [seconds]}, provenance=provenance,
    )  # fmt: skip
    made.write(workspace.record(run))


@pytest.fixture(autouse=True)
def on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ttq_repro.runs.plan.has_gpu", lambda: False)
    monkeypatch.setattr("ttq_repro.runs.plan.processor", lambda: "a CPU")
    monkeypatch.setattr("ttq_repro.runs.plan.cores", lambda: 4)


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


def test_side_by_side_counts_what_trained_with_as_many_threads(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    write(cell("resnet20_fp", "seed=8"), workspace, 36, threads=4)
    write(cell("resnet20_fp", "seed=9"), workspace, 45, threads=2)
    runs = [cell("resnet20_fp", f"seed={seed}") for seed in (1, 2, 3, 4)]
    assert make_plan(runs, workspace).runs[0].seconds == 164 * 36
    plan = make_plan(runs, workspace, jobs=2)
    assert plan.runs[0].seconds == 164 * 45
    assert plan.lines()[-1] == "4 of 4 runs to train, about 4.1 h, 2 side by side"


def test_without_any_record_the_time_is_unknown(tmp_path: Path) -> None:
    plan = make_plan([cell("resnet20_fp")], Workspace(tmp_path))
    assert plan.runs[0].seconds is None
    assert "time unknown" in plan.lines()[-1]


def on_photographs(root: Path, data: str = "ilsvrc12") -> Run:
    overrides = [f"data={data}", f"data.root={root}", "data.num_classes=3"]
    named = ["experiment=table2/alexnet_bn_ttq", "trainer.precision=fp32"]
    return Run(compose_config("train", [*named, *overrides]))


def write_imagenette(workspace: Workspace) -> None:
    """A record of 4,500 photographs at 50 of them a second."""
    provenance = {
        "accelerator": "CPUAccelerator", "finished": "2026-01-01", "processor": "a CPU",
        "train_images": 4500,
    }  # fmt: skip
    run = on_photographs(Path("elsewhere"), "imagenette")
    made = record(
        identity=run.identity,
        config=run.config,
        metrics={"seconds": [90.0]},
        provenance=provenance,
        decisions=[{"weights": 50_000_000}, {"weights": 10_000_000}],
    )
    made.write(workspace.record(run))


def test_photographs_of_another_data_set_tell_the_speed(tmp_path: Path, photographs: Path) -> None:
    workspace = Workspace(tmp_path)
    write_imagenette(workspace)
    plan = make_plan([on_photographs(photographs)], workspace)
    assert plan.runs[0].speed == 50
    assert plan.runs[0].seconds == 80 * 18 / 50
    text = "\n".join(plan.lines())
    assert "missing, about 29 s at 50 images/s" in text
    assert f"data: 18 train and 6 val photographs, to be prepared in {workspace.cache}" in text
    assert "disk: 0.0 GB for data, 0.2 GB for networks, 0.7 GB for a checkpoint" in text
    assert not list(workspace.cache.rglob("*.safetensors"))


def test_photographs_that_are_not_there_leave_the_rest_of_the_plan(tmp_path: Path) -> None:
    write_imagenette(Workspace(tmp_path))
    plan = make_plan([on_photographs(tmp_path / "nowhere")], Workspace(tmp_path))
    text = "\n".join(plan.lines())
    assert f"data: {tmp_path / 'nowhere'}: no such folder" in text
    assert "missing, time unknown at 50 images/s" in text


def test_a_speed_measured_now_counts_more_than_a_record(tmp_path: Path, photographs: Path) -> None:
    write_imagenette(Workspace(tmp_path))
    (planned,) = make_plan([on_photographs(photographs)], Workspace(tmp_path)).runs
    assert replace(planned, measured=9.0).seconds == 80 * 18 / 9


def test_steps_and_loader_are_measured_and_leave_nothing(
    tiny_run: Callable[..., Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, workspace = tiny_run("quantizer=ttq", "trainer.compile=false"), Workspace(tmp_path)
    plan = measured(make_plan([run, run.with_seed(2)], workspace), workspace)
    assert [planned.measured for planned in plan.runs] == [plan.runs[0].measured] * 2
    (line,) = capsys.readouterr().out.splitlines()
    step, loader = (
        float(number.replace(",", "")) for number in re.findall(r"([\d,.]+) images/s", line)
    )
    assert plan.runs[0].measured == pytest.approx(min(step, loader), rel=0.01)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "time unknown"), (42, "about 42 s"), (600, "about 10 min"), (7200, "about 2.0 h")],
)
def test_durations(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words
