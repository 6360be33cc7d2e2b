"""How often to try faults, processes to try them on, and the table of the outcomes."""

from __future__ import annotations

import random
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from tests.conftest import TINY, few_digits
from tests.processes import FORKSERVER
from ttq_repro.files import ROOT
from ttq_repro.runs.config import Config, compose_config
from ttq_repro.runs.hardware import processor
from ttq_repro.table import Table

CAPTION = (
    "Faults tried by `make soak` on ResNets of depth 8 on digits ({processor}): how often, and how "
    "often the run survived, that is, resumed with the same command and ended like an undisturbed "
    "one."
)
HEADER = ["fault", "tried", "survived"]

Tally = Callable[[str, int, int], None]
Count = Callable[[int, int], int]
_ROWS = pytest.StashKey[list[list[str]]]()


@pytest.fixture
def count(request: pytest.FixtureRequest) -> Count:
    """``count(quick, soak)``: how often to try a fault in this session."""
    soak = request.config.getoption("--soak")
    return lambda in_tests, in_soak: in_soak if soak else in_tests


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Tally:
    """``tally(fault, tried, survived)``: a row of the table."""
    rows = request.config.stash.setdefault(_ROWS, [])
    return lambda fault, tried, survived: rows.append([fault, str(tried), str(survived)])


def pytest_sessionfinish(session: pytest.Session) -> None:
    rows = session.config.stash.get(_ROWS, [])
    if session.config.getoption("--soak") and rows:
        table = Table(CAPTION.format(processor=processor()), HEADER, rows)
        table.write(ROOT / "results" / "benchmarks", "faults")


@pytest.fixture(scope="session")
def forkserver() -> ForkServerContext:
    """Starts real processes quickly, because their imports are preloaded."""
    return FORKSERVER


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """A random generator for moments and places, which repeats them for the same test."""
    return random.Random(request.node.name)


def plan_of_three(workspace: Path, *overrides: str) -> Config:
    """A request for a plan of three runs: full precision, and TTQ after its parent."""
    return compose_config(
        "reproduce",
        [
            "artifact=table1",
            "+only.depth=[20]",
            "+only.method=[full_precision,ttq]",
            "budget=smoke",
            "dataset=digits",
            f"workspace={workspace}",
            f"overrides={[*TINY[2:], *overrides]}",
        ],
    )


@pytest.fixture
def plan_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Config]:
    """Makes the request for a plan of three runs that this process can carry out itself."""
    monkeypatch.setattr("ttq_repro.data.load.load_digits", few_digits)
    return lambda name="workspace": plan_of_three(tmp_path / name)
