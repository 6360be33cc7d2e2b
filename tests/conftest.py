"""Fixtures that tests share: a small run on digits in its own workspace, folders of images."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ttq_repro.data.arrays import ImageArrays
from ttq_repro.data.digits import load_digits
from ttq_repro.runs.config import compose_config
from ttq_repro.runs.run import Run

torch.set_num_threads(1)

# The smallest network and schedule that still exercise everything.
TINY = [
    "data=digits",
    "recipe=smoke",
    "recipe.epochs=2",
    "model=resnet20",
    "model.depth=8",
    "logger.wandb=disabled",
    "logger.csv=false",
    "trainer.progress=false",
    "trainer.accelerator=cpu",
    "trainer.precision=fp32",
    "train_parent=true",
]
# One epoch for the parent instead of the three of `smoke`, and few steps per epoch.
SHORT = ["recipe.epochs=1", "recipe.parent=smoke_photographs", "recipe.batch_size=480"]


#: Images of a small run: few batches, the last one not full.
FEW = 300
FEW_TESTED = 100


def few_digits() -> ImageArrays:
    """Few digits, half as large, for tests of what happens around training."""
    digits = load_digits()
    return replace(
        digits,
        train_images=digits.train_images[:FEW, ::2, ::2],
        train_labels=digits.train_labels[:FEW],
        test_images=digits.test_images[:FEW_TESTED, ::2, ::2],
        test_labels=digits.test_labels[:FEW_TESTED],
    )


@pytest.fixture(autouse=True)
def _no_wandb_variables() -> Iterator[None]:
    """Neither the user's own nor those that the code under test sets for good."""

    def taken() -> dict[str, str]:
        names = [name for name in os.environ if name.startswith("WANDB_")]
        return {name: os.environ.pop(name) for name in names}

    before = taken()
    yield
    taken()
    os.environ.update(before)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--soak", action="store_true", help="try faults often, and write results/benchmarks/faults"
    )


@pytest.fixture
def tiny_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    """Makes a run from overrides of TINY on few digits that leaves its files in ``tmp_path``."""
    monkeypatch.setattr("ttq_repro.data.load.load_digits", few_digits)

    def make(*overrides: str) -> Run:
        return Run(compose_config("train", [*TINY, *overrides]) | {"workspace": str(tmp_path)})

    return make


@contextmanager
def stopped_at(epoch: int) -> Iterator[None]:
    """Has training that is started within stop, as on Ctrl-C, at the first batch of this epoch."""

    def stop(module: Any, *_: Any) -> None:
        if module.current_epoch == epoch:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ttq_repro.training.module.Classifier.on_train_batch_start", stop)
        with pytest.raises(KeyboardInterrupt):
            yield


@pytest.fixture(scope="session")
def cifar10_root() -> Path:
    """The folder of the real CIFAR-10, below DATA_DIR."""
    return below_data_dir("cifar10", "train/airplane")


@pytest.fixture(scope="session")
def imagenette_root() -> Path:
    """The folder of the real Imagenette, below DATA_DIR."""
    return below_data_dir("imagenette", "train/n01440764")


def below_data_dir(name: str, holds: str) -> Path:
    given = os.environ.get("DATA_DIR")
    for root in (Path(given), Path(given) / name) if given else ():
        if (root / holds).is_dir():
            return root
    pytest.skip(f"DATA_DIR names no folder with {name}")


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """An ImageNet-style folder of three classes with 6 + 2 small photographs each.

    Brightness depends on the class; the first of each class is grayscale, the second CMYK.
    """
    root = tmp_path / "photographs"
    random = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 2)):
        for label, name in enumerate(("n01", "n02", "n03")):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                width, height = (60, 40) if number % 2 else (36, 48)
                pixels = random.integers(0, 30, (height, width, 3)) + 20 + 90 * label
                image = Image.fromarray(pixels.astype(np.uint8))
                mode = {0: "L", 1: "CMYK"}.get(number, "RGB")
                image.convert(mode).save(folder / f"{name}_{number}.JPEG", quality=95)
    return root


@pytest.fixture
def prepare_in_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prepares photographs in threads, as starting processes takes seconds."""
    pool = "ttq_repro.data.parts.ProcessPoolExecutor"
    monkeypatch.setattr(pool, lambda workers, *_: ThreadPoolExecutor(workers))
