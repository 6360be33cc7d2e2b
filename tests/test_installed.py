"""The package without its checkout, as pip installs it."""

from __future__ import annotations

import ast
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.deploy.networks import packed, trained
from ttq_repro.deploy.format import serialize
from ttq_repro.files import ROOT

PROGRAM = """
import json, sys
hidden = set(json.loads(sys.argv[1]))

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hidden())

import torch
import ttq_repro.models
from ttq_repro.deploy import load
from ttq_repro.files import CACHE
from ttq_repro.quantizers import TTQ, quantize_

torch.set_num_threads(1)
quantize_(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(4, 2)), TTQ)
assert load("net.safetensors", "dense")(torch.zeros(1, 3, 32, 32)).shape == (1, 5)
print(CACHE)
print(*[m.__file__ for name, m in sys.modules.items() if name.startswith("ttq_repro.")], sep="\\n")
"""
#: The distributions of every top-level module installed here.
DISTRIBUTIONS = {
    module: {canonicalize_name(name) for name in names}
    for module, names in packages_distributions().items()
}
DEPENDENCIES = {
    canonicalize_name(Requirement(line).name)
    for line in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
}


def with_theirs(names: Iterable[str]) -> set[str]:
    """These distributions and all that they require."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        found.add(name)
        for requirement in map(Requirement, requires(name) or []):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found


def imported_by(path: str) -> set[str]:
    """The distributions that a file imports from, anywhere in it."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(Path(path).read_text())):
        if isinstance(node, ast.Import):
            modules |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add((node.module or "").partition(".")[0])
    return {name for module in modules for name in DISTRIBUTIONS.get(module, ())}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages, with this one in it."""
    folder = tmp_path_factory.mktemp("packages")
    shutil.copytree(ROOT / "ttq_repro", folder / "ttq_repro")
    return folder


@pytest.fixture(scope="module")
def printed(place: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Output of a program that uses the library with only its dependencies installed."""
    here = tmp_path_factory.mktemp("here")
    (here / "net.safetensors").write_bytes(serialize(packed(trained())))
    there = with_theirs(DEPENDENCIES) | {"ttq-repro"}
    hidden = [module for module, names in DISTRIBUTIONS.items() if not names & there]
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", PROGRAM, json.dumps(hidden)],
        cwd=here,
        env=os.environ | {"PYTHONPATH": str(place), "XDG_CACHE_HOME": str(here / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [path.name for path in place.iterdir()] == ["ttq_repro"]
    assert [path.name for path in here.iterdir()] == ["net.safetensors"]
    return done.stdout.splitlines()


def test_it_quantizes_and_loads_and_keeps_its_cache_elsewhere(printed: list[str]) -> None:
    cache = Path(printed[0])
    assert cache.parts[-2:] == ("cache", "ttq_repro")
    assert cache.parents[1].name.startswith("here")


def test_type_checkers_of_its_users_see_its_types(place: Path) -> None:
    assert (place / "ttq_repro" / "py.typed").is_file(), "the marker of PEP 561"


def test_it_depends_on_what_its_library_imports(printed: list[str], place: Path) -> None:
    assert all(Path(path).is_relative_to(place) for path in printed[1:])
    ours = {name for path in printed[1:] for name in imported_by(path)} - {"ttq-repro"}
    assert ours == DEPENDENCIES


def test_the_lock_holds_an_allowed_version_of_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *itertools.chain.from_iterable(extras.values())]
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pinned = [Requirement(line.removesuffix("\\")) for line in lines if re.match("[a-z0-9]", line)]
    versions = {
        canonicalize_name(one.name): spec.version for one in pinned for spec in one.specifier
    }
    for requirement in map(Requirement, wanted):
        name = canonicalize_name(requirement.name)
        if name != "ttq-repro":  # An extra may name others of its own.
            assert versions[name] in requirement.specifier, f"{name}: run `make lock`"
