"""Same seed and machine, same record: alone, in a sweep, with a cold or a warm compile cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import SHORT, TINY
from tests.processes import script, script_anew
from tests.records import results

TRAIN = [*TINY, *SHORT, "quantizer=ttq"]


def test_alone_and_in_a_sweep(tmp_path: Path) -> None:
    def train(name: str, *arguments: str) -> dict[str, dict[str, object]]:
        workspace = tmp_path / name
        done = script("train", *arguments, *TRAIN, f"workspace={workspace}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return results(workspace)

    alone = train("alone", "seed=3")
    (identity,) = alone
    swept = train("swept", "-m", "seed=2,3")
    assert swept.keys() == {identity}
    seed3 = next((tmp_path / "swept").rglob("records/**/seed3.json"))
    seed3.with_name("seed2.json").unlink()
    assert results(tmp_path / "swept") == alone


@pytest.mark.slow
def test_with_a_cold_and_a_warm_compile_cache(tmp_path: Path) -> None:
    cache = tmp_path / "inductor"

    def train(name: str) -> dict[str, dict[str, object]]:
        arguments = [*TRAIN, "trainer.compile=true", f"workspace={tmp_path / name}"]
        done = script_anew("train", *arguments, cwd=tmp_path, TORCHINDUCTOR_CACHE_DIR=str(cache))
        assert done.returncode == 0, done.stderr
        return results(tmp_path / name)

    cold = train("cold")
    assert any(cache.rglob("*.so")), "it did compile"
    assert train("warm") == cold
