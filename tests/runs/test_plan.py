import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.conftest import FEW
from tests.records import record
from ttq_repro.data.prepare import StoreRequest, prepare
from ttq_repro.errors import DataError, TrainingError, UserError
from ttq_repro.files import write_atomically
from ttq_repro.humanize import duration
from ttq_repro.runs.config import Config, compose_config
from ttq_repro.runs.measure import loader_speed, measured, step_speed
from ttq_repro.runs.plan import make_plan
from ttq_repro.runs.run import Run
from ttq_repro.runs.speed import Speed
from ttq_repro.runs.workspace import Workspace


def cell(name: str, *overrides: str) -> Run:
    return Run(compose_config("train", [f"experiment=table1/{name}", *overrides]))


def write(
    run: Run,
    workspace: Workspace,
    seconds: float | list[float],
    processor: str = "a CPU",
    threads: int = 4,
    gpu: str | None = None,
) -> None:
    provenance = {
        "device": gpu or "cpu", "finished": "2026-01-01", "processor": processor,
        "threads": threads, "train_images": 50_000,
    }  # fmt: skip
    made = record(
        identity=run.identity, seed=run.seed, config=run.config,
        metrics={"seconds": seconds if isinstance(seconds, list) else [seconds]},
        provenance=provenance,
    )  # fmt: skip
    made.write(workspace.record(run))


@pytest.fixture(autouse=True)
def checkout(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Takes the place of this checkout, whose records plans in other workspaces know too."""
    root = tmp_path_factory.mktemp("checkout")
    monkeypatch.setattr("ttq_repro.runs.plan.ROOT", root)
    return root


@pytest.fixture(autouse=True)
def on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ttq_repro.runs.plan.has_gpu", lambda *_: False)
    monkeypatch.setattr("ttq_repro.runs.plan.processor", lambda: "a CPU")
    monkeypatch.setattr("ttq_repro.runs.speed.cores", lambda: 4)
    monkeypatch.setattr("ttq_repro.runs.plan.default_threads", lambda: 4)


@pytest.fixture
def on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ttq_repro.runs.plan.has_gpu", lambda *_: True)
    monkeypatch.setattr("ttq_repro.runs.plan.device", lambda *_: "an A100")
    monkeypatch.setattr("ttq_repro.runs.plan.gpu_name", lambda: "an A100")


def test_parents_come_first_and_shared_runs_once(tmp_path: Path) -> None:
    child, parent = cell("resnet20_ttq"), cell("resnet20_fp")
    plan = make_plan([child, parent, child], Workspace(tmp_path))
    assert [p.run.identity for p in plan.runs] == [parent.identity, child.identity]


def test_a_record_that_is_to_be_replaced_for_its_weights_is_told(tmp_path: Path) -> None:
    run, workspace = cell("resnet20_ttq"), Workspace(tmp_path)
    assert run.parent
    write(run.parent, workspace, 10.0)
    parent, child = make_plan([run], workspace).runs
    assert not parent.done
    assert "; only its weights are: its record (50.00% test error) is replaced" in parent.state()
    assert "replaced" not in child.state()
    write_atomically(workspace.weights(run.parent), b"")
    assert make_plan([run], workspace).runs[0].state() == "done"


def test_finds_what_is_done_and_estimates_the_rest(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    parent = cell("resnet20_fp")
    write(parent, workspace, seconds=36)
    write_atomically(workspace.weights(parent), b"weights")
    plan = make_plan([cell("resnet20_ttq"), cell("resnet56_fp")], workspace)
    assert [p.done for p in plan.runs] == [True, False, False]
    assert plan.runs[1].seconds == pytest.approx(160 * 36)
    assert plan.runs[2].seconds == pytest.approx(164 * 36 * 3)
    assert plan.lines()[-1] == "2 of 3 runs to train, about 6.5 h"


def test_the_most_alike_record_tells_the_speed(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    write(cell("resnet20_fp", "trainer.precision=bf16"), workspace, 10)
    write(cell("resnet20_fp", "trainer.precision=fp32"), workspace, 100, "another CPU")
    write(cell("resnet32_fp", "trainer.precision=fp32"), workspace, 50)
    plan = make_plan([cell("resnet20_ttq", "trainer.precision=fp32")], workspace)
    assert plan.runs[1].seconds == pytest.approx(160 * 50 * 18 / 30)
    assert plan.runs[1].state().endswith("(recorded 2026-01-01 with model=resnet32)")
    plan = make_plan([cell("resnet20_ttq", "trainer.precision=bf16")], workspace)
    assert plan.runs[1].seconds == pytest.approx(160 * 10)


def test_images_held_out_are_not_trained_on(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    write(cell("resnet20_fp", "seed=9"), workspace, 36)
    whole, part = (cell("resnet20_fp"), cell("resnet20_fp", "+data.held_out=0.1"))
    assert [one.images for one in make_plan([whole, part], workspace).runs] == [50_000, 45_000]


def test_the_last_eighth_of_the_epochs_tells_the_speed(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    run = cell("resnet20_fp", "seed=9")
    write(run, workspace, [90] * 14 + [36, 36])
    assert make_plan([cell("resnet20_fp")], workspace).runs[0].seconds == pytest.approx(164 * 36)


def test_side_by_side_run_as_many_as_there_are_cores_for(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    write(cell("resnet20_fp", "seed=8"), workspace, 36, threads=4)
    write(cell("resnet20_fp", "seed=9"), workspace, 45, threads=2)
    runs = [cell("resnet20_fp", f"seed={seed}") for seed in (1, 2, 3, 4)]
    assert make_plan(runs, workspace).seconds == pytest.approx(4 * 164 * 36)
    plan = make_plan(runs, workspace, jobs=2)
    assert plan.seconds == pytest.approx(2 * 164 * 45)
    assert plan.lines()[-1] == "4 of 4 runs to train, about 4.1 h, 2 side by side"
    # More runs than cores, at a thread each: without a record of that no gain is assumed.
    plan = make_plan(runs, workspace, jobs=8)
    assert "at 1,389 images/s (recorded 2026-01-01 with threads=4)" in plan.runs[0].state()
    assert plan.lines()[-1].endswith("about 6.6 h, 8 side by side, estimated for 1 at a time")


def test_a_single_run_gains_nothing_from_company_and_a_child_waits(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    write(cell("resnet20_fp", "seed=9"), workspace, 36, threads=2)
    one, child = cell("resnet20_fp"), cell("resnet20_ttq")
    assert make_plan([one], workspace, jobs=2).seconds == pytest.approx(164 * 36)
    assert make_plan([child], workspace, jobs=2).seconds == pytest.approx((164 + 160) * 36)


def test_processes_of_a_run_need_cores_of_their_own(tmp_path: Path) -> None:
    write(cell("resnet20_fp", "seed=9", "trainer.devices=2"), Workspace(tmp_path), 36, threads=2)
    runs = [cell("resnet20_fp", f"seed={seed}") for seed in (1, 2)]
    assert make_plan(runs, Workspace(tmp_path), jobs=2).seconds == pytest.approx(2 * 164 * 36)


def test_a_run_on_the_cpu_beside_a_gpu_is_planned_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ttq_repro.runs.plan.has_gpu", lambda asked: asked != "cpu")
    workspace = Workspace(tmp_path)
    write(cell("resnet20_fp", "seed=7"), workspace, 4, threads=16, gpu="an H100")
    write(cell("resnet20_fp", "seed=8"), workspace, 40)
    (planned,) = make_plan([cell("resnet20_fp", "trainer.accelerator=cpu")], workspace).runs
    assert planned.state().endswith("at 1,250 images/s (recorded 2026-01-01)")


@pytest.mark.usefixtures("on_a_gpu")
def test_the_speed_of_a_gpu_is_that_of_the_same_gpu_if_it_was_recorded(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    write(cell("resnet20_fp", "seed=7"), workspace, 4, threads=16, gpu="an H100")
    run = cell("resnet20_fp")
    plan = make_plan([run], workspace)
    assert plan.lines()[0] == "device: an A100"
    assert "at 12,500 images/s (recorded 2026-01-01 with device=an H100)" in plan.lines()[1]
    # It does not matter that the CPU beside it is another.
    write(cell("resnet20_fp", "seed=8"), workspace, 8, "another CPU", 1, gpu="an A100")
    (planned,) = make_plan([run], workspace).runs
    assert planned.state().endswith("at 6,250 images/s (recorded 2026-01-01)")


@pytest.mark.usefixtures("on_a_gpu")
def test_a_gpu_without_a_name_may_be_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ttq_repro.runs.plan.gpu_name", lambda: None)
    write(cell("resnet20_fp", "seed=7"), Workspace(tmp_path), 4, gpu="an H100")
    (planned,) = make_plan([cell("resnet20_fp")], Workspace(tmp_path)).runs
    assert planned.state().endswith("(recorded 2026-01-01 with device=an H100)")


@pytest.mark.usefixtures("on_a_gpu")
def test_a_shared_gpu_is_not_counted_twice(tmp_path: Path) -> None:
    write(cell("resnet20_fp", "seed=7"), Workspace(tmp_path), 4, threads=2, gpu="an A100")
    runs = [cell("resnet20_fp", f"seed={seed}") for seed in (1, 2)]
    plan = make_plan(runs, Workspace(tmp_path), jobs=2)
    assert plan.seconds == pytest.approx(2 * 164 * 4)


def test_what_a_record_had_that_the_run_has_not_is_said(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    write(cell("resnet20_fp", "recipe.batch_size=64"), workspace, 100, "another CPU", threads=2)
    run = cell("resnet32_fp", "trainer.devices=8")
    (planned,) = make_plan([run], workspace).runs
    assert planned.state().endswith(
        "at 300 images/s (recorded 2026-01-01 with processes=1, device=another CPU, threads=2, "
        "batch_size=64, model=resnet20)"
    )


def test_a_run_that_is_neither_plain_nor_distilled_is_estimated_from_its_like(
    tmp_path: Path,
) -> None:
    workspace = Workspace(tmp_path)
    write(cell("resnet20_fp", "trainer.plain=true"), workspace, 100)
    (planned,) = make_plan([cell("resnet20_fp")], workspace).runs
    assert planned.state().endswith("(recorded 2026-01-01 with plain=True)")
    write(cell("resnet20_fp", "seed=2"), workspace, 50)
    (planned,) = make_plan([cell("resnet20_fp")], workspace).runs
    assert planned.seconds == pytest.approx(164 * 50)
    assert planned.state().endswith("(recorded 2026-01-01)")


def test_a_new_workspace_has_the_speeds_of_the_checkout(tmp_path: Path, checkout: Path) -> None:
    write(cell("resnet20_fp"), Workspace(checkout), 50)
    (planned,) = make_plan([cell("resnet20_fp")], Workspace(tmp_path)).runs
    assert planned.state().startswith("missing, ")
    assert planned.seconds == pytest.approx(164 * 50)


def test_without_any_record_the_time_is_unknown(tmp_path: Path) -> None:
    plan = make_plan([cell("resnet20_fp")], Workspace(tmp_path))
    assert plan.runs[0].seconds is None
    assert plan.lines()[-1] == (
        "1 of 1 runs to train, time unknown; MEASURE=1 measures what is not recorded"
    )


def test_without_a_required_number_of_images_the_time_is_unknown(tmp_path: Path) -> None:
    write(cell("resnet20_fp", "seed=9"), Workspace(tmp_path), 50)
    (planned,) = make_plan([cell("resnet20_fp", "data.images=null")], Workspace(tmp_path)).runs
    assert planned.state().startswith("missing, time unknown at 1,000 images/s")


def on_photographs(root: Path, *given: str, data: str = "ilsvrc12") -> Run:
    """A run on tiny photographs, 18 to train and 6 to test on."""
    images = [] if data == "imagenette" else ["data.images={train:18,val:6}"]
    overrides = [f"data={data}", f"data.root={root}", "data.num_classes=3", *images, *given]
    named = ["experiment=table2/alexnet_bn_ttq", "trainer.precision=fp32"]
    return Run(compose_config("train", [*named, *overrides]))


def write_imagenette(workspace: Workspace) -> None:
    """Write a record of training on 4,500 photographs at 50 images/s."""
    provenance = {
        "device": "cpu", "finished": "2026-01-01", "processor": "a CPU", "threads": 4,
        "train_images": 4500,
    }  # fmt: skip
    run = on_photographs(Path("elsewhere"), data="imagenette")
    made = record(
        identity=run.identity,
        config=run.config,
        metrics={"seconds": [90.0]},
        provenance=provenance,
    )
    made.write(workspace.record(run))


def test_photographs_of_another_data_set_tell_the_speed(tmp_path: Path, photographs: Path) -> None:
    workspace = Workspace(tmp_path)
    write_imagenette(workspace)
    plan = make_plan([on_photographs(photographs)], workspace)
    assert plan.runs[0].seconds == pytest.approx(80 * 18 / 50)
    text = "\n".join(plan.lines())
    assert "missing, about 29 s at 50 images/s (recorded 2026-01-01)" in text
    assert f"data: 18 train and 6 val photographs, to be prepared in {workspace.cache}" in text
    assert not list(workspace.cache.rglob("*.safetensors"))


def test_photographs_that_are_not_there_leave_the_rest_of_the_plan(tmp_path: Path) -> None:
    write_imagenette(Workspace(tmp_path))
    plan = make_plan([on_photographs(tmp_path / "nowhere")], Workspace(tmp_path))
    text = "\n".join(plan.lines())
    assert f"data: {tmp_path / 'nowhere'}: no such folder" in text
    assert "missing, about 29 s at 50 images/s" in text, "of as many as its config says"


@pytest.mark.usefixtures("prepare_in_threads")
def test_what_data_take_needs_no_record(tmp_path: Path, photographs: Path) -> None:
    run, workspace = on_photographs(photographs), Workspace(tmp_path)
    text = "\n".join(make_plan([run], workspace).lines())
    takes = r"photographs, to be prepared in \S+: about \d+\.\d kB, about \d+ s on \d+ cores?"
    assert re.search(takes, text)
    prepare(StoreRequest.of(run.config["data"], workspace.cache))
    text = "\n".join(make_plan([run], workspace).lines())
    assert re.search(r"photographs, prepared in \S+ \(\d+\.\d kB\)", text)


def test_a_part_of_the_data_set_is_told_before_any_run(tmp_path: Path, photographs: Path) -> None:
    run = on_photographs(photographs, "data.images={train:18,val:7}")
    text = "\n".join(make_plan([run], Workspace(tmp_path)).lines())
    assert "ilsvrc12: 18 training and 6 test images, but results need 18 and 7" in text


def test_a_disk_that_is_too_small_is_told_before_any_run(
    tmp_path: Path, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10))
    text = "\n".join(make_plan([on_photographs(photographs)], Workspace(tmp_path)).lines())
    assert "needs up to" in text
    assert "10 bytes are free" in text


def test_steps_and_loader_are_measured_and_leave_nothing(
    tiny_run: Callable[..., Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, workspace = tiny_run("quantizer=ttq", "trainer.compile=false"), Workspace(tmp_path)
    plan = measured(make_plan([run, run.with_seed(2)], workspace), workspace)
    speeds = [planned.speed.images for planned in plan.runs if planned.speed]
    (line,) = capsys.readouterr().out.splitlines()
    step, loader = (
        float(number.replace(",", "")) for number in re.findall(r"([\d,.]+) images/s", line)
    )
    # One waits for the other, as no other process makes the batches.
    together = 1 / (1 / step + 1 / loader)
    assert speeds == [pytest.approx(together, rel=0.01)] * 2
    assert [planned.images for planned in plan.runs] == [FEW] * 2
    assert plan.runs[0].seconds == pytest.approx(2 * FEW / together, rel=0.01)
    assert plan.runs[1].state().endswith("(measured now)")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_measuring_one_seed_says_nothing_of_the_record_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seed 2 alone has a record without weights."""
    run, workspace = cell("resnet20_ttq", "seed=2"), Workspace(tmp_path)
    assert run.parent
    write(run.parent, workspace, 10.0)
    monkeypatch.setattr("ttq_repro.runs.measure.load_data", lambda *_: None)
    monkeypatch.setattr(
        "ttq_repro.runs.measure._measured_run",
        lambda planned, *_: replace(planned, speed=Speed(50.0, "measured now", 4)),
    )
    plan = measured(make_plan([cell("resnet20_ttq"), run], workspace), workspace)
    assert [one.run.name for one in plan.runs if one.replaced] == [run.parent.name]
    assert all("at 50 images/s (measured now)" in one.state() for one in plan.runs)


@pytest.mark.parametrize(("processes", "together"), [(0, 40), (2, 50)])
def test_a_loader_with_processes_works_beside_the_steps(
    processes: int,
    together: float,
    tiny_run: Callable[..., Run],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loader = SimpleNamespace(num_workers=processes)
    data = SimpleNamespace(train_images=FEW, train_loader=lambda *_, **__: loader)
    monkeypatch.setattr("ttq_repro.runs.measure.load_data", lambda *_: data)
    monkeypatch.setattr("ttq_repro.runs.measure.step_speed", lambda *_: 50.0)
    monkeypatch.setattr("ttq_repro.runs.measure.loader_speed", lambda *_: 200.0)
    plan = measured(make_plan([tiny_run()], Workspace(tmp_path)), Workspace(tmp_path))
    assert plan.runs[0].speed is not None
    assert plan.runs[0].speed.images == pytest.approx(together)


@pytest.mark.parametrize(("epoch", "speed"), [(1000, 10), (11, 10), (10, 20), (5, 50)])
def test_batches_made_while_a_loader_starts_do_not_count(
    epoch: int, speed: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If an epoch has too few others, all of a second epoch count."""
    clock, started = 0.0, False

    class Loader(SimpleNamespace):
        def __len__(self) -> int:
            return epoch

        def __iter__(self) -> Iterator[tuple[None, range]]:
            nonlocal clock, started
            for batch in range(epoch):
                # Two processes start for 5 s and make two batches ahead each; then one per second.
                clock += (1 if started else 5) if batch == 0 else 0 if batch <= 4 else 1
                started = True
                yield None, range(10)

    monkeypatch.setattr("time.perf_counter", lambda: clock)
    loader: Any = Loader(num_workers=2, prefetch_factor=2)
    assert loader_speed(loader) == pytest.approx(speed, rel=0.2)


def test_a_run_that_diverges_while_it_is_measured_leaves_the_rest_of_the_plan(
    tiny_run: Callable[..., Run],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def step_speed(run: Run, *_: object) -> float:
        if run.quantizer == "ttq":
            raise TrainingError("diverged")
        return 50.0

    monkeypatch.setattr("ttq_repro.runs.measure.step_speed", step_speed)
    runs, workspace = [tiny_run("quantizer=ttq"), tiny_run()], Workspace(tmp_path)
    plan = measured(make_plan(runs, workspace), workspace)
    assert [planned.speed is None for planned in plan.runs] == [True, False]
    assert f"not measured: {runs[0].identity}: diverged" in capsys.readouterr().out


def test_reestimation_is_not_measured_as_if_done_every_few_steps(
    tiny_run: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[Config] = []

    def fit(config: Config, *_: object, **__: object) -> Any:
        trained.append(config)
        return SimpleNamespace(history={"seconds": [1.0]})

    monkeypatch.setattr("ttq_repro.runs.measure.fit", fit)
    run = tiny_run("reestimate_batch_norm=20")
    assert step_speed(run, 50_000, Workspace(tmp_path)) > 0
    assert [config["reestimate_batch_norm"] for config in trained] == [None]


def test_a_batch_too_small_for_its_processes_is_not_measured(
    tiny_run: Callable[..., Run], tmp_path: Path
) -> None:
    run, workspace = tiny_run("trainer.devices=64", "recipe.batch_size=32"), Workspace(tmp_path)
    with pytest.raises(UserError, match=r"^trainer\.devices=64: recipe\.batch_size=32 leaves"):
        measured(make_plan([run], workspace), workspace)


def test_side_by_side_is_measured_on_a_share_of_the_cores(
    tiny_run: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []

    def step_speed(*_: object) -> float:
        threads.append(torch.get_num_threads())
        return 50.0

    monkeypatch.setattr("ttq_repro.runs.measure.step_speed", step_speed)
    monkeypatch.setattr("ttq_repro.runs.measure.loader_speed", lambda *_: math.inf)
    monkeypatch.setattr("ttq_repro.runs.measure.has_gpu", lambda *_: False)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        runs = [tiny_run(f"seed={seed}") for seed in (1, 2)]
        plan = measured(make_plan(runs, Workspace(tmp_path), jobs=2), Workspace(tmp_path))
        assert (threads, torch.get_num_threads()) == ([2], 4)
    finally:
        torch.set_num_threads(before)
    assert plan.seconds == pytest.approx(2 * FEW / 50)
    monkeypatch.setattr("ttq_repro.runs.measure.has_gpu", lambda *_: True)
    plan = measured(make_plan(runs, Workspace(tmp_path), jobs=2), Workspace(tmp_path))
    assert plan.seconds == pytest.approx(2 * 2 * FEW / 50)


@pytest.mark.parametrize(
    ("root", "state"),
    [
        ("null", "missing, about 57 s at 50 images/s (measured now)"),
        # With a folder that cannot be read nothing can be trained, however fast.
        ("somewhere", "missing, time unknown"),
    ],
)
def test_images_that_cannot_be_read_leave_the_measured_steps_if_no_folder_was_named(
    root: str,
    state: str,
    tiny_run: Callable[..., Run],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load(*_: object) -> None:
        raise DataError("no images")

    monkeypatch.setattr("ttq_repro.runs.measure.step_speed", lambda *_: 50.0)
    monkeypatch.setattr("ttq_repro.runs.measure.load_data", load)
    run = tiny_run(f"data.root={root}")
    plan = measured(make_plan([run], Workspace(tmp_path)), Workspace(tmp_path))
    assert "data: no images" in plan.lines()
    assert plan.runs[0].state() == state


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "time unknown"), (42, "about 42 s"), (600, "about 10 min"), (7200, "about 2.0 h")],
)
def test_durations(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words
