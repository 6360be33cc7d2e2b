"""Sweeps by Hydra's launchers: shared parents once, finished runs never again, a summary."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import TINY
from tests.scripts.test_scripts import script

LAUNCHERS = {
    "basic": [],
    "joblib": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
    "submitit_local": ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5"],
    # As the README has it, two jobs at a time on the two cores of a one-node cluster.
    "submitit_slurm": [
        "hydra/launcher=submitit_slurm",
        "hydra.launcher.cpus_per_task=1",
        "hydra.launcher.timeout_min=5",
    ],
}
# An epoch of a parent's in place of the three of `smoke`, and few steps in it.
SHORT = ["recipe.epochs=1", "recipe.parent=smoke_photographs", "recipe.batch_size=480"]


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
    if launcher == "submitit_slurm" and not cluster_answers():
        pytest.skip("no Slurm: sbatch is not installed, or no node of a cluster is free")
    arguments = [
        "-m",
        *TINY,
        *SHORT,
        "quantizer=ttq",
        "parent=auto",
        "quantizer.threshold=0.05,1.5,0.1",
        f"workspace={tmp_path}",
        f"hydra.sweep.dir={tmp_path}/sweep",
        *LAUNCHERS[launcher],
    ]
    done = script("train", *arguments, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "2 of 3 jobs done" in done.stdout
    (failure,) = (line for line in done.stderr.splitlines() if "threshold must lie" in line)
    assert "quantizer.threshold=1.5" in failure
    assert "Traceback" not in done.stderr
    assert len(list(tmp_path.glob("outputs/records/digits/resnet20-ttq-*/seed1.json"))) == 2
    assert len(list(tmp_path.glob("outputs/records/digits/resnet20-full_precision-*/*"))) == 1

    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("outputs/records/**/*.json")}
    arguments[arguments.index("quantizer.threshold=0.05,1.5,0.1")] = "quantizer.threshold=0.05,0.1"
    again = script("train", *arguments[: -len(LAUNCHERS[launcher]) or None], cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("done already") == 2
    assert before == {path: path.stat().st_mtime_ns for path in before}
