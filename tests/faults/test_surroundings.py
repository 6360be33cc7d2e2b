"""A full disk, read-only results, lost data, no memory, no GPU: one run fails, the plan goes on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkServerContext
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from tests.faults.processes import train_within
from tests.processes import script
from ttq_repro.data.cifar10 import CLASSES
from ttq_repro.deploy.evaluate import evaluate
from ttq_repro.deploy.export import export
from ttq_repro.errors import DataError, TrainingError, UserError
from ttq_repro.reproduce import reproduce
from ttq_repro.runs.config import Config, compose_config
from ttq_repro.runs.execute import execute
from ttq_repro.runs.run import Run
from ttq_repro.runs.workspace import Workspace

MakeRequest = Callable[..., Config]
MakeRun = Callable[..., Run]


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that is too small for a checkpoint."""
    folder = tmp_path / "workspace"
    folder.mkdir()
    try:
        mount("-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder))
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a file system needs root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_loses_nothing(
    small_disk: Path, plan_request: MakeRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    request = plan_request(small_disk.name)
    with pytest.raises(TrainingError, match="3 of 3 runs failed") as failure:
        reproduce(request)
    assert str(failure.value).count("No space left on device") == 2
    assert str(failure.value).count("its parent failed") == 1
    assert failure.value.exit_code == 1
    assert "nothing is drawn: not run" in capsys.readouterr().out
    assert not list(small_disk.rglob("*.tmp"))
    mount("-o", "remount,size=64m", str(small_disk))
    reproduce(request)
    assert len(list(small_disk.rglob("records/**/*.json"))) == 3


def test_read_only_results_fail_at_once(small_disk: Path, tiny_run: MakeRun) -> None:
    run = Run(tiny_run("recipe.epochs=1").config | {"workspace": str(small_disk)})
    mount("-o", "remount,ro,size=64m", str(small_disk))
    with pytest.raises(TrainingError, match=r"Read-only file system: .*workspace/outputs"):
        execute(run)
    mount("-o", "remount,rw", str(small_disk))
    execute(run)


def test_a_script_refuses_a_read_only_workspace(small_disk: Path) -> None:
    mount("-o", "remount,ro,size=64m", str(small_disk))
    done = script("train", "data=digits", "recipe=smoke", f"workspace={small_disk}")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: workspace={small_disk}: {small_disk} is not writable\n"


def test_too_little_memory_names_the_batch_size_and_the_ways_out(
    forkserver: ForkServerContext, tiny_run: MakeRun, tmp_path: Path
) -> None:
    run = tiny_run("recipe.epochs=1", "recipe.batch_size=1437", "model.depth=20")
    output = tmp_path / "output"
    process = forkserver.Process(target=train_within, args=(run.config, 300 * 2**20, output))
    process.start()
    process.join()
    assert process.exitcode == 1
    said = output.read_text()
    assert said.startswith("out of memory at recipe.batch_size=1437: train fewer runs at once")


def test_one_run_that_fails_does_not_stop_the_others(
    plan_request: MakeRequest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ttq_repro.runs import train as module

    fit = module.fit

    def failing(config: Config, *arguments: object, **options: object) -> object:
        if config["quantizer"]["name"] == "ttq":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return fit(config, *arguments, **options)

    request = plan_request() | {"only": {"depth": [20], "method": ["ttq", "control"]}}
    monkeypatch.setattr(module, "fit", failing)
    with pytest.raises(TrainingError, match=r"1 of 3 runs failed.*\n.*ttq.*recipe.batch_size=32"):
        reproduce(request)
    table = Workspace.of(request).outputs / "tables" / "table1.md"
    assert re.search(r"\| not run \| - \| \d+\.\d\d \(n=1\) \|", table.read_text()), "the control"
    monkeypatch.setattr(module, "fit", fit)
    capsys.readouterr()
    reproduce(request)
    assert "1 of 3 runs to train" in capsys.readouterr().out


def test_a_lost_gpu_is_one_line(tiny_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: object, **__: object) -> None:
        raise torch.AcceleratorError("CUDA error: device lost\nand advice of many lines")

    monkeypatch.setattr("ttq_repro.runs.train.fit", lost)
    with pytest.raises(TrainingError, match=r"^the GPU failed: CUDA error: device lost$"):
        execute(tiny_run())


def test_a_lost_process_of_the_loader_is_one_line(
    tiny_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KillsItself(Dataset[int]):
        def __getitem__(self, _: int) -> int:
            os.kill(os.getpid(), signal.SIGKILL)
            return 0

        def __len__(self) -> int:
            return 1

    def load(*_: object, **__: object) -> None:
        next(iter(DataLoader(KillsItself(), num_workers=1, multiprocessing_context="fork")))

    monkeypatch.setattr("ttq_repro.runs.train.fit", load)
    with pytest.raises(TrainingError, match=r"^a process that loads images .*: DataLoader worker"):
        execute(tiny_run())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_named(tiny_run: MakeRun) -> None:
    with pytest.raises(UserError, match="accelerator=gpu: no such device; choose from auto, cpu"):
        execute(tiny_run("trainer.accelerator=gpu"))


def test_a_data_folder_that_vanishes_is_named(
    tiny_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, away = tmp_path / "data", tmp_path / "away"
    pixels = np.random.default_rng(0).integers(0, 256, (2, 10, 32, 32, 3), np.uint8)
    for split, images in zip(("train", "test"), pixels, strict=True):
        for name, image in zip(CLASSES, images, strict=True):
            folder = root / split / name
            folder.mkdir(parents=True)
            Image.fromarray(image).save(folder / "0.png")
    run = tiny_run("data=cifar10", f"data.root={root}", "quantizer=ttq", "parent=auto")
    assert run.parent is not None
    execute(run.parent)
    root.rename(away)
    with pytest.raises(DataError, match=f"{root}: no such folder"):
        execute(run)
    away.rename(root)
    record = execute(run)
    root.rename(away)
    made = [f"run={Workspace.of(run.config).record(run)}", f"out={tmp_path / 'net.safetensors'}"]
    export(compose_config("export", made))  # Needs no images.
    away.rename(root)
    packed = [f"packed={tmp_path / 'net.safetensors'}", f"data.root={root}"]
    evaluate(compose_config("evaluate", [*packed, f"workspace={tmp_path}"]))
    error = 100 * record.test_error["final"]
    assert f"{error:.2f}% test error" in capsys.readouterr().out
