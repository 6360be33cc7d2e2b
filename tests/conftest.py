"""What tests share: a small run on digits, in a workspace of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ttq_repro.runs.config import compose_config
from ttq_repro.runs.run import Run

torch.set_num_threads(1)

# The smallest network and schedule that still have everything.
TINY = [
    "data=digits",
    "recipe=smoke",
    "recipe.epochs=2",
    "model=resnet20",
    "model.depth=8",
    "logger=csv",
    "logger.csv=false",
    "trainer.progress=false",
    "trainer.accelerator=cpu",
    "trainer.precision=fp32",
    "train_parent=true",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--soak", action="store_true", help="try faults often, and write results/benchmarks/faults"
    )


@pytest.fixture
def tiny_run(tmp_path: Path) -> Callable[..., Run]:
    """Makes a run from overrides of TINY that leaves its files in ``tmp_path``."""

    def make(*overrides: str) -> Run:
        return Run(compose_config("train", [*TINY, *overrides]) | {"workspace": str(tmp_path)})

    return make


@pytest.fixture(scope="session")
def cifar10_root() -> Path:
    """The folder of the real CIFAR-10, below DATA_DIR."""
    given = os.environ.get("DATA_DIR")
    for root in (Path(given), Path(given) / "cifar10") if given else ():
        if (root / "train" / "airplane").is_dir():
            return root
    pytest.skip("DATA_DIR names no folder with CIFAR-10")
