"""Compiling the runtime, and what happens where that does not work."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ctypes import CDLL
from pathlib import Path

import pytest
import torch

from tests.deploy.networks import images, packed, trained
from ttq_repro.deploy.load import build as build_network
from ttq_repro.deploy.runtime.build import CACHE, FLAGS, LEVELS, build, library
from ttq_repro.deploy.runtime.kernels import kernels
from ttq_repro.files import ROOT
from ttq_repro.runs.workspace import Workspace

QUICK = ["-O0" if flag.startswith("-O") else flag for flag in FLAGS]


@pytest.fixture
def afresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Forgets the runtime of this process, before and after."""
    library.cache_clear()
    kernels.cache_clear()
    yield monkeypatch
    monkeypatch.undo()
    library.cache_clear()
    kernels.cache_clear()


def test_the_cache_is_that_of_the_checkout() -> None:
    assert Workspace(ROOT).cache / "runtime" == CACHE


@pytest.mark.skipif(library() is None, reason="needs a C++ compiler")
def test_two_builds_at_once_leave_one_library_and_nothing_else(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: build(tmp_path, QUICK), range(2))
    assert first == second
    assert list(tmp_path.iterdir()) == [first]
    assert CDLL(str(first)).ternary_level() in range(len(LEVELS))
    before = first.stat()
    assert build(tmp_path, QUICK).stat() == before, "compiled again"


@pytest.mark.parametrize(
    ("script", "message"),
    [(None, "No such file"), ("#!/bin/sh\necho out of order >&2\nexit 3\n", "out of order")],
)
def test_without_a_compiler_there_is_one_warning_and_the_same_logits(
    script: str | None, message: str, afresh: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    compiler = tmp_path / "compiler"
    if script:
        compiler.write_text(script)
        compiler.chmod(0o755)
    afresh.setenv("CXX", str(compiler))
    made = packed(trained())
    expected = build_network(made, "unpacked")(images())
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert torch.equal(build_network(made)(images()), expected)
        torch.testing.assert_close(build_network(made, "packed")(images()), expected)
    (warning,) = seen
    assert "no C++ runtime for ternary layers" in str(warning.message)
    assert message in str(warning.message)
