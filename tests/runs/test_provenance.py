"""The commit that a record names, and whether what trained it was that commit."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ttq_repro.runs.provenance import commit

AUTHOR = ["-c", "user.name=a", "-c", "user.email=a@example.org"]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a committed source file and a committed result."""
    monkeypatch.setattr("ttq_repro.runs.provenance.ROOT", tmp_path)
    # Not the user's own hooks and signatures, nor the repository of a hook that runs the tests.
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "results").mkdir()
    for name in ("source.py", "results/table.md"):
        (tmp_path / name).write_text("one\n")
    for command in (["init", "-q"], ["add", "."], [*AUTHOR, "commit", "-qm", "first"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


@pytest.mark.parametrize(
    ("changed", "dirty"),
    [(None, False), ("source.py", True), ("results/table.md", False), ("untracked.py", False)],
)
def test_only_changed_source_counts(changed: str | None, dirty: bool, checkout: Path) -> None:
    if changed is not None:
        (checkout / changed).write_text("two\n")
    found = commit()
    assert found["dirty"] is dirty
    assert len(found["commit"]) == 40


def test_outside_of_a_repository_nothing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ttq_repro.runs.provenance.ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit() == {}


def test_without_git_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert commit() == {}
