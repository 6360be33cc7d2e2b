"""Sweeps by Hydra's launchers: parents train once, finished runs never again, and a summary."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.conftest import SHORT, TINY
from tests.processes import processes, script, script_anew, started, wait_for
from ttq_repro.files import ROOT

LAUNCHERS = {
    "basic": [],
    "joblib": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
    "submitit_local": ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5"],
    # slurm.conf beside this file sets up a cluster for it.
    "submitit_slurm": [
        "hydra/launcher=submitit_slurm",
        "hydra.launcher.cpus_per_task=1",
        "hydra.launcher.timeout_min=5",
    ],
}


def cluster_answers() -> bool:
    if shutil.which("sbatch") is None:
        return False
    try:
        asked = ["sinfo", "--noheader", "--states=idle,mixed", "--format=%n"]
        return bool(subprocess.run(asked, capture_output=True, timeout=10, check=True).stdout)
    except subprocess.SubprocessError:
        return False


@pytest.mark.parametrize(
    "launcher",
    [pytest.param(name, marks=[] if name == "basic" else pytest.mark.slow) for name in LAUNCHERS],
)
def test_a_sweep(launcher: str, tmp_path: Path) -> None:
    """On a cluster of several nodes, --basetemp has to name a folder that all of them share."""
    if launcher == "submitit_slurm" and not cluster_answers():
        pytest.skip("no Slurm: sbatch is not installed, or no node of a cluster is free")
    arguments = [
        "-m",
        "experiment=figure5/resnet20",
        *TINY,
        *SHORT,
        "quantizer.sparsity=0.3,1.5,0.5",
        f"workspace={tmp_path}",
        f"hydra.sweep.dir={tmp_path}/sweep",
        *LAUNCHERS[launcher],
    ]
    # Launchers with processes of their own start them from a new interpreter, as for a user.
    run = script if launcher == "basic" else script_anew
    done = run("train", *arguments, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "2 of 3 jobs done" in done.stdout
    (failure,) = (line for line in done.stderr.splitlines() if "sparsity must lie" in line)
    assert "quantizer.sparsity=1.5" in failure
    assert "Traceback" not in done.stderr
    assert (
        len(list(tmp_path.glob("outputs/records/digits/resnet20-ttq_sparsity-*/seed1.json"))) == 2
    )
    assert len(list(tmp_path.glob("outputs/records/digits/resnet20-full_precision-*/*"))) == 1

    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("outputs/records/**/*.json")}
    arguments[arguments.index("quantizer.sparsity=0.3,1.5,0.5")] = "quantizer.sparsity=0.3,0.5"
    again = script("train", *arguments[: -len(LAUNCHERS[launcher]) or None], cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("done already") == 2
    assert before == {path: path.stat().st_mtime_ns for path in before}


@pytest.mark.slow
def test_photographs_are_prepared_and_decoded_by_jobs_side_by_side(
    photographs: Path, tmp_path: Path
) -> None:
    """By child processes of joblib's workers, which by default start processes differently."""
    arguments = [
        "-m", "experiment=table3/resnet18b_fp", "recipe=smoke_photographs", "data=imagenette",
        f"data.root={photographs}", "data.num_classes=3", "data.short_side=32", "data.crop=32",
        "data.augmentation.side=36", "recipe.batch_size=8", "trainer.workers=1",
        *[option for option in TINY if option.startswith(("logger", "trainer"))],
        "seed=1,2", f"workspace={tmp_path}", f"hydra.sweep.dir={tmp_path}/sweep",
    ]  # fmt: skip
    done = script_anew("train", *arguments, *LAUNCHERS["joblib"], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 jobs done" in done.stdout


def test_only_its_own_jobs_are_told(tmp_path: Path) -> None:
    """Not jobs of another sweep in the same folder; jobs that never start are counted."""
    arguments = ["-m", *TINY, f"workspace={tmp_path}", "hydra.sweep.dir=sweep"]
    refused = script("train", *arguments, "recipe.epochs=0,-1", cwd=tmp_path)
    assert "0 of 2 jobs done\n" in refused.stdout
    assert "recipe.epochs=-1" in refused.stderr
    again = script("train", *arguments, "recipe.epochs=0", cwd=tmp_path)
    assert "0 of 1 jobs done\n" in again.stdout
    assert "recipe.epochs=-1" not in again.stderr
    unknown = script("train", *arguments, "quantizer=ttq,nosuch,twn", cwd=tmp_path)
    assert unknown.returncode == 2
    assert "0 of 3 jobs done, 3 not started\n" in unknown.stdout


def test_what_no_sweep_can_do_is_told_in_one_line(tmp_path: Path) -> None:
    endless = script("train", "-m", *TINY, "quantizer.threshold=interval(0,1)", cwd=tmp_path)
    assert endless.returncode == 2
    assert endless.stderr.startswith("error: ")
    assert endless.stderr.count("\n") == 1
    (tmp_path / "taken").touch()
    nowhere = script("train", "-m", *TINY, "seed=1,2", f"workspace={tmp_path}/taken", cwd=tmp_path)
    assert nowhere.returncode == 1
    assert nowhere.stderr.startswith(f"error: {tmp_path}/taken/outputs/hydra")
    assert nowhere.stderr.count("\n") == 1


def test_the_folder_of_a_sweep_is_in_its_workspace(tmp_path: Path) -> None:
    arguments = ["-m", *TINY, "recipe.epochs=0", "workspace=mine"]
    assert "0 of 1 jobs done" in script("train", *arguments, cwd=tmp_path).stdout
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert list(tmp_path.glob("mine/outputs/hydra/*/*/outcomes"))


@pytest.mark.parametrize(("given", "jobs"), [("workspace=a,b", 2), ("workspace=", 1)])
def test_a_sweep_over_workspaces_has_one_folder(given: str, jobs: int, tmp_path: Path) -> None:
    """That is in the checkout, as without a workspace."""
    folder = ROOT / "outputs" / "hydra"
    before = {*folder.glob("*/*")}
    try:
        done = script("train", "-m", *TINY, "recipe.epochs=0", given, cwd=tmp_path)
    finally:
        for made in {*folder.glob("*/*")} - before:
            shutil.rmtree(made)
    assert f"0 of {jobs} jobs done\n" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_killed_job_is_in_the_summary(tmp_path: Path) -> None:
    """Its launcher then fails as well, but the summary has the last word."""
    arguments = [
        "-m", *TINY, "recipe.epochs=1000", "seed=1,2", f"workspace={tmp_path}",
        f"hydra.sweep.dir={tmp_path}/sweep", *LAUNCHERS["submitit_local"],
    ]  # fmt: skip
    with started("train", *arguments, cwd=tmp_path, stdout=subprocess.PIPE) as sweep:
        wait_for(lambda: len(list(tmp_path.glob("sweep/outcomes/0*"))) == 2, "start of both jobs")
        for job in processes("submitit.core._submit", str(tmp_path)):
            os.kill(job, signal.SIGKILL)
        said, complained = sweep.communicate()
    assert sweep.returncode == 1
    assert "0 of 2 jobs done" in said
    for seed in (1, 2):
        assert f"seed={seed}" in complained
    assert complained.count("stopped before it finished") == 2
