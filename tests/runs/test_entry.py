"""The environment variables that scripts set before they begin."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ttq_repro.runs.entry import keep_caches_in


@pytest.mark.parametrize("name", ["runs", "my runs"])
def test_compiled_code_is_kept_where_the_compiler_finds_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", {})
    monkeypatch.chdir(tmp_path)
    keep_caches_in(Path(name) / "cache")
    kept = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    assert kept == (None if " " in name else str(tmp_path / name / "cache" / "compiled"))
    assert os.environ["MPLCONFIGDIR"] == f"{name}/cache/matplotlib"
