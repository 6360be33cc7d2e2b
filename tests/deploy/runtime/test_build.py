"""Compiling the runtime, and what happens if that fails."""

from __future__ import annotations

import functools
import os
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from ttq_repro.deploy.runtime import build
from ttq_repro.deploy.runtime.build import KEPT, compile_library, runtime
from ttq_repro.files import ROOT
from ttq_repro.runs.workspace import Workspace


def test_the_cache_is_that_of_the_checkout() -> None:
    assert Workspace(ROOT).cache / "runtime" == KEPT


COMPILER = """#!/bin/sh
case "$*" in *--version*) echo 1.0; exit;; esac
while [ "$1" != -o ]; do shift; done
sleep 0.2
echo "$$" > "$2"
case "$2" in *.so) echo linked >> "$0.log"; esac
"""


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fast stand-in for a compiler, whose libraries no loader would accept."""
    path = tmp_path / "compiler"
    path.write_text(COMPILER)
    path.chmod(0o755)
    monkeypatch.setenv("CXX", str(path))
    return path


def libraries(folder: Path) -> set[Path]:
    """All that a build left, apart from its lock."""
    return set(folder.iterdir()) - {folder / "lock"}


def test_builds_at_once_compile_once(tmp_path: Path, compiler: Path) -> None:
    folder = tmp_path / "cache"
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(compile_library, [folder, folder])
    assert first == second
    assert libraries(folder) == {first}
    assert compile_library(folder) == first
    assert Path(f"{compiler}.log").read_text() == "linked\n"
    compiler.write_text(COMPILER.replace("1.0", "1.1"))
    assert compile_library(folder) != first


@pytest.mark.usefixtures("compiler")
def test_what_a_killed_build_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "cache" / "tmp1234").mkdir(parents=True)
    (tmp_path / "cache" / "tmp1234" / "pad.o").touch()
    path = compile_library(tmp_path / "cache")
    assert libraries(tmp_path / "cache") == {path}


def test_a_library_outlives_its_compiler(tmp_path: Path, compiler: Path) -> None:
    """As in a container that was made with a compiler; a damaged library stays unused."""
    path = compile_library(tmp_path / "cache")
    compiler.unlink()
    assert compile_library(tmp_path / "cache") == path
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FileNotFoundError):
        compile_library(tmp_path / "cache")


@pytest.mark.usefixtures("compiler")
def test_without_a_writable_cache_each_process_compiles_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "Runtime", lambda path: SimpleNamespace(kernel="amx", path=path))
    monkeypatch.setattr(build, "KEPT", tmp_path / "compiler" / "not a folder")
    found = runtime.__wrapped__()
    assert found.path.name.startswith("ternary-")
    assert not found.path.exists(), "removed once it is loaded"


@pytest.mark.usefixtures("compiler")
def test_a_library_that_cannot_be_loaded_is_not_compiled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one of a compiler newer than the C++ library of this process."""
    compiled: list[Path] = []

    def compiling(folder: Path) -> Path:
        compiled.append(folder)
        return compile_library(folder)

    def refuse(path: Path) -> None:
        raise OSError(f"{path.name}: version `GLIBCXX_3.4.99' not found")

    monkeypatch.setattr(build, "KEPT", tmp_path / "cache")
    monkeypatch.setattr(build, "compile_library", compiling)
    monkeypatch.setattr(build, "Runtime", refuse)
    with pytest.warns(UserWarning, match="no C.. runtime, ternary-.* not found"):
        assert runtime.__wrapped__() is None
    assert compiled == [tmp_path / "cache"]


@pytest.mark.usefixtures("compiler")
def test_a_library_that_is_there_needs_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder may be read-only."""
    path = compile_library(tmp_path / "cache")
    monkeypatch.delattr("fcntl.flock")
    assert compile_library(tmp_path / "cache") == path


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("damage", ["cut", "empty", "altered"])
def test_a_damaged_library_is_compiled_again(damage: str, tmp_path: Path) -> None:
    path = compile_library(tmp_path)
    content = path.read_bytes()
    altered = {"cut": content[:-1], "empty": b"", "altered": b"?" + content[1:]}[damage]
    path.write_bytes(altered)
    assert compile_library(tmp_path) == path
    mended = path.read_bytes()
    assert mended != altered
    assert compile_library(tmp_path).read_bytes() == mended, "compiled again"


def test_the_oldest_libraries_are_removed(
    tmp_path: Path, compiler: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cache"
    monkeypatch.setattr(build, "MOST_KEPT", 2)
    first = compile_library(folder)
    monkeypatch.setenv("CXX", f"{compiler} -O1")
    second = compile_library(folder)
    assert libraries(folder) == {first, second}
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "runtime.cpp").write_text("int other;")
    monkeypatch.setattr(build, "SOURCES", sources)
    third = compile_library(folder)
    assert libraries(folder) == {second, third}


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (None, "No such file"),
        ("#!/bin/sh\necho out of order >&2\nexit 3\n", "out of order"),
        ("#!/bin/sh\nprintf '\\377 is not UTF-8' >&2\nexit 3\n", "is not UTF-8"),
    ],
)
def test_without_a_compiler_there_is_one_warning(
    script: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = tmp_path / "compiler"
    if script:
        compiler.write_text(script)
        compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setattr(build, "KEPT", tmp_path / "cache")
    once = functools.cache(runtime.__wrapped__)
    said = rf"^ternary layers are unpacked to float32 in every call \(no C\+\+ .*{message}"
    with pytest.warns(UserWarning, match=said) as seen:
        assert once() is once() is None
    assert len(seen) == 1


#: Runs in a process of its own, because registered operators cannot be replaced.
PROGRAM = """
import sys
import warnings
from pathlib import Path
import torch
from tests.deploy.networks import images, packed, relative_difference, trained
from ttq_repro.deploy.loading import build
from ttq_repro.deploy.runtime import build as module

module.KEPT = Path(sys.argv[1])
made = packed(trained())
expected = build(made, "unpacked")(images())
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    assert torch.equal(build(made)(images()), expected)
    assert relative_difference(build(made, "packed")(images()), expected) < 2e-6
(warning,) = seen
print(warning.message)
"""


def test_without_a_compiler_there_are_the_same_logits(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"CXX": str(tmp_path / "compiler")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ternary layers are unpacked to float32 in every call (no C++ ")


def test_without_vector_instructions_there_is_one_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "Runtime", lambda _: SimpleNamespace(kernel="portable"))
    monkeypatch.setattr(build, "compile_library", lambda folder: folder)
    once = functools.cache(runtime.__wrapped__)
    with pytest.warns(UserWarning, match="unpacked .* has no vector instructions") as seen:
        assert once() is once() is not None
    assert len(seen) == 1


def test_where_there_is_a_compiler_there_is_a_runtime() -> None:
    """Otherwise most tests of a broken runtime would be skipped instead of failing."""
    compiler = shlex.split(os.environ.get("CXX") or "g++")
    try:
        subprocess.run([*compiler, "--version"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs a C++ compiler")
    assert runtime() is not None
