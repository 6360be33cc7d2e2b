"""Compiling the runtime, and what happens where that does not work."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ttq_repro.deploy.runtime.build import KEPT, build
from ttq_repro.files import ROOT
from ttq_repro.runs.workspace import Workspace


def test_the_cache_is_that_of_the_checkout() -> None:
    assert Workspace(ROOT).cache / "runtime" == KEPT


COMPILER = """#!/bin/sh
case "$*" in *--version*) echo 1.0; exit;; esac
while [ "$1" != -o ]; do shift; done
sleep 0.2
echo "$$" > "$2"
"""


def test_builds_at_once_leave_one_library_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = tmp_path / "compiler"
    compiler.write_text(COMPILER)
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    folder = tmp_path / "cache"
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(build, [folder, folder])
    assert first == second
    assert list(folder.iterdir()) == [first]
    content = first.read_text()
    assert build(folder).read_text() == content, "compiled again"
    compiler.write_text(COMPILER.replace("1.0", "1.1"))
    assert build(folder) != first


#: A process of its own, as operators that are registered once stay.
PROGRAM = """
import warnings
import torch
from tests.deploy.networks import images, packed, relative_difference, trained
from ttq_repro.deploy.load import build

made = packed(trained())
expected = build(made, "unpacked")(images())
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    assert torch.equal(build(made)(images()), expected)
    assert relative_difference(build(made, "packed")(images()), expected) < 2e-6
(warning,) = seen
print(warning.message)
"""


@pytest.mark.parametrize(
    ("script", "message"),
    [(None, "No such file"), ("#!/bin/sh\necho out of order >&2\nexit 3\n", "out of order")],
)
def test_without_a_compiler_there_is_one_warning_and_the_same_logits(
    script: str | None, message: str, tmp_path: Path
) -> None:
    compiler = tmp_path / "compiler"
    if script:
        compiler.write_text(script)
        compiler.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env=os.environ | {"CXX": str(compiler)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("no C++ runtime for ternary layers")
    assert message in done.stdout
