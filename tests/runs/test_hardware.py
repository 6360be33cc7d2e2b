"""What the machine can do, and which precision a run gets accordingly."""

from pathlib import Path

import pytest

from tests.conftest import TINY
from tests.records import record
from ttq_repro.runs import hardware
from ttq_repro.runs.cell import cells_of, commands, result_cells
from ttq_repro.runs.config import compose_config
from ttq_repro.runs.run import Run
from ttq_repro.runs.workspace import Workspace

FLAGS = {"old": "fpu avx2 avx512f", "zen4": "avx512f avx512_bf16", "amx": "amx_tile amx_bf16"}


@pytest.mark.parametrize(
    ("flags", "gpu", "accelerator", "precision"),
    [
        ("old", False, "auto", "fp32"),
        ("zen4", False, "auto", "bf16"),
        ("amx", False, "cpu", "bf16"),
        ("old", True, "auto", "bf16"),
        ("old", True, "cpu", "fp32"),
    ],
)
def test_the_precision_is_one_the_hardware_is_fast_in(
    monkeypatch: pytest.MonkeyPatch, flags: str, gpu: bool, accelerator: str, precision: str
) -> None:
    monkeypatch.setattr(
        hardware, "has_gpu", lambda accelerator="auto": gpu and accelerator != "cpu"
    )
    monkeypatch.setattr(hardware, "_cpuinfo", lambda _: FLAGS[flags])
    assert hardware.fastest_precision(accelerator) == precision
    warning = hardware.precision_warning("bf16", accelerator)
    assert (warning is None) == (precision == "bf16")


@pytest.mark.parametrize(
    ("visible", "there", "found"),
    [
        (None, True, True),
        ("0", True, True),
        ("", True, False),
        ("-1", True, False),
        (None, False, False),
    ],
)
def test_a_gpu_that_may_not_be_used_is_none(
    visible: str | None, there: bool, found: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = tmp_path / "nvidia0"
    if there:
        driver.touch()
    monkeypatch.setattr(hardware, "GPU_PATHS", (str(driver),))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert hardware.has_gpu() == found


@pytest.mark.parametrize(
    ("models", "name"),
    [
        ([], None),
        (["NVIDIA H100 80GB HBM3"], "NVIDIA H100 80GB HBM3"),
        (["NVIDIA L4", "NVIDIA L4"], "NVIDIA L4"),
        (["NVIDIA L4", "NVIDIA T4"], None),
    ],
)
def test_a_gpu_is_called_what_the_driver_calls_it(
    models: list[str], name: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, model in enumerate(models):
        (tmp_path / str(number)).mkdir()
        information = f"Model: \t\t {model}\nIRQ:   \t\t 42\n"
        (tmp_path / str(number) / "information").write_text(information)
    monkeypatch.setattr(hardware, "GPU_PATHS", (str(tmp_path),))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert hardware.gpu_name() == name
    assert hardware.device() == (name or hardware.UNKNOWN_GPU)


@pytest.mark.parametrize(
    ("asked", "threads"), [(None, 6), ("", 6), ("2", 2), ("3,1", 3), ("0", 6), ("all", 6)]
)
def test_threads_are_as_many_as_openmp_is_told(
    asked: str | None, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "cores", lambda: 6)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if asked is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert hardware.default_threads() == threads


def test_a_run_has_a_concrete_precision_that_its_parent_shares() -> None:
    run = Run(compose_config("train", ["quantizer=ttq", "parent=auto"]))
    assert run.config["trainer"]["precision"] == hardware.fastest_precision("auto")
    asked = Run(compose_config("train", [*TINY, "parent=auto", "trainer.precision=bf16"]))
    assert asked.parent is not None
    assert asked.parent.config["trainer"]["precision"] == "bf16"


def test_the_precisions_of_an_artifact_are_kept_apart() -> None:
    request = compose_config("reproduce", ["+only.depth=[20]", "+only.method=[ttq]"])
    cells = [
        cell
        for precision in hardware.PRECISIONS
        for cell in cells_of(request | {"precision": precision}, "short")
    ]
    assert [cell.setting for cell in cells] == ["short, bf16", "short, fp32"]
    for precision, command in zip(hardware.PRECISIONS, commands(cells), strict=True):
        assert f" PRECISION={precision} " in command
    assert len({cell.run.identity for cell in cells}) == 2


def test_results_of_several_processes_have_rows_of_their_own(tmp_path: Path) -> None:
    request = compose_config("reproduce", []) | {"workspace": str(tmp_path)}
    alone = result_cells(request)
    assert {cell.run.processes for cell in alone} == {1}
    (together, *_) = cells_of(request | {"devices": 4, "precision": "bf16"}, "paper")
    assert " DEVICES=4 " in commands([together])[0]
    record().write(Workspace(tmp_path).record(together.run))
    both = result_cells(request)
    assert len(both) == 2 * len(alone)
    assert together.run in [cell.run for cell in both]
    assert {cell.setting for cell in both} >= {"paper, bf16", "paper, bf16, 4 processes"}
