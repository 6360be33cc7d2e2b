"""Same seed and machine, same record: alone, in a sweep, with a cold or a warm compile cache."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import TINY
from tests.faults.test_kill import results
from ttq_repro.files import ROOT


def train(workspace: Path, *arguments: str, **environment: str) -> dict[str, dict[str, object]]:
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), *arguments, *TINY]
    subprocess.run(
        [*command, "quantizer=ttq", "recipe.epochs=1", f"workspace={workspace}"],
        cwd=workspace.parent,
        env=os.environ | environment,
        check=True,
        capture_output=True,
    )
    return results(workspace)


def test_alone_and_in_a_sweep(tmp_path: Path) -> None:
    alone = train(tmp_path / "alone", "seed=3")
    (identity,) = alone
    swept = train(tmp_path / "swept", "-m", "seed=2,3")
    assert swept.keys() == {identity}
    seed3 = next((tmp_path / "swept").rglob("records/**/seed3.json"))
    seed3.with_name("seed2.json").unlink()
    assert results(tmp_path / "swept") == alone


@pytest.mark.slow
def test_with_a_cold_and_a_warm_compile_cache(tmp_path: Path) -> None:
    cache = {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "inductor")}
    cold = train(tmp_path / "cold", "trainer.compile=true", **cache)
    assert any((tmp_path / "inductor").rglob("*.so")), "it did compile"
    warm = train(tmp_path / "warm", "trainer.compile=true", **cache)
    assert cold == warm
