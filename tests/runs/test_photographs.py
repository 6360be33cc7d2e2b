"""Runs on photographs, from folders to record."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import TINY, stopped_at
from ttq_repro.data.load import load_data
from ttq_repro.errors import DataError
from ttq_repro.files import CONFIGS
from ttq_repro.runs.config import compose_config
from ttq_repro.runs.execute import execute
from ttq_repro.runs.run import Run
from ttq_repro.runs.workspace import Workspace
from ttq_repro.training.module import in_top5

MakeRun = Callable[..., Run]

pytestmark = pytest.mark.usefixtures("prepare_in_threads")

SETTINGS = [override for override in TINY if not override.startswith("model")]
SMALL = [
    "data.num_classes=3", "data.short_side=32", "data.augmentation.side=36", "data.crop=32",
    "model=resnet18b", "model.width=0.125", "quantizer=ttq", "policy=first_last_float",
    "recipe.batch_size=5", "recipe.epochs=3",
]  # fmt: skip


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Makes a run on photographs that leaves its files in ``tmp_path/WORKSPACE``."""

    def make(root: Path, *overrides: str, workspace: str = "ws") -> Run:
        given = [*SETTINGS, "data=imagenette", f"data.root={root}", *overrides]
        return Run(compose_config("train", given) | {"workspace": str(tmp_path / workspace)})

    return make


def test_a_ternary_resnet18_leaves_a_record(make_run: MakeRun, photographs: Path) -> None:
    record = execute(make_run(photographs, *SMALL))
    assert [d["layer"] for d in record.decisions if not d["quantize"]] == ["stem.0", "linear"]
    assert record.provenance["train_images"] == 18
    assert record.test_images == 6
    # 16 layers of 3x3, and three shortcuts of 1x1, which have no kernels to show.
    assert len(record.layers) == 19
    assert len(record.kernels) == 16
    name = next(iter(record.kernels))
    zeros = (record.kernel_codes(name) == 0).mean()
    assert zeros == pytest.approx(record.layers[name]["zero"][-1], abs=1e-6), "8 x 8: all are kept"
    assert "test_top5_error" not in record.metrics


def test_one_photograph_left_over_is_trained_on(make_run: MakeRun, photographs: Path) -> None:
    """Even though the last batch norms of ResNet-18 see a single pixel of each image here."""
    record = execute(make_run(photographs, *SMALL, "recipe.batch_size=17"))
    assert np.isfinite(record.metrics["train_loss"]).all()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stopped_run_goes_on_bit_for_bit(
    make_run: MakeRun, photographs: Path, workers: int
) -> None:
    undisturbed = execute(make_run(photographs, *SMALL, "trainer.workers=1", workspace="a"))
    stopped = make_run(photographs, *SMALL, f"trainer.workers={workers}", workspace="b")
    with stopped_at(2):
        execute(stopped)
    resumed = execute(stopped)
    assert [before["epochs"] for before in resumed.provenance["earlier"]] == [2]
    assert resumed.weights_sha256 == undisturbed.weights_sha256
    assert resumed.metrics["train_loss"] == undisturbed.metrics["train_loss"]
    assert resumed.kernels == undisturbed.kernels


def test_twenty_classes_have_a_top5_error(make_run: MakeRun, photographs: Path) -> None:
    for split in ("train", "val"):
        for number in range(4, 21):
            shutil.copytree(photographs / split / "n01", photographs / split / f"n{number:02}")
    twenty = [override for override in SMALL if "num_classes" not in override]
    made = make_run(photographs, *twenty, "data.num_classes=20", "recipe.batch_size=60")
    metrics = execute(made).metrics
    for top5, top1 in zip(metrics["test_top5_error"], metrics["test_error"], strict=True):
        assert 0 <= top5 <= top1


def test_the_five_largest_logits_count() -> None:
    logits = torch.arange(20.0).repeat(20, 1)
    assert in_top5(logits, torch.arange(20)).tolist() == [False] * 15 + [True] * 5


def test_a_truncated_photograph_stops_the_run_before_it_trains(
    make_run: MakeRun, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = photographs / "train" / "n03" / "n03_5.JPEG"
    victim.write_bytes(victim.read_bytes()[:400])
    monkeypatch.setattr("ttq_repro.runs.train.fit", None)
    with pytest.raises(DataError, match=r"n03_5\.JPEG: not a readable image"):
        execute(make_run(photographs, *SMALL))


def test_other_photographs_are_no_result(
    make_run: MakeRun, photographs: Path, tmp_path: Path
) -> None:
    node = make_run(photographs, *SMALL).config["data"]
    node = node | {"images": {"train": 18, "val": 6}}
    assert load_data(node, tmp_path / "cache", workers=0, whole=True).train_images == 18
    (photographs / "val" / "n03" / "n03_1.JPEG").unlink()
    with pytest.raises(DataError, match="18 training and 5 test images, but results need 18 and"):
        load_data(node, tmp_path / "cache", workers=0, whole=True)
    assert load_data(node, tmp_path / "cache", workers=0).train_images == 18


#: The experiments of Tables 2 and 3 and of the released code.
EXPERIMENTS = [
    f"{table}/{path.stem}"
    for table, names in (("table2", "*"), ("table3", "*"), ("authors_code", "alexnet*"))
    for path in sorted((CONFIGS / "experiment" / table).glob(f"{names}.yaml"))
]


@pytest.fixture(scope="session")
def an_epoch(imagenette_root: Path, tmp_path_factory: pytest.TempPathFactory) -> MakeRun:
    """Makes a run that trains an experiment for one epoch, from a parent trained as long."""
    workspace = tmp_path_factory.mktemp("epochs")

    def make(experiment: str) -> Run:
        recipe = "short_resnet18" if experiment.startswith("table3") else "short_alexnet"
        if experiment == "table3/resnet18b_ttq":
            recipe += "_adam"
        overrides = [f"experiment={experiment}", f"recipe={recipe}", "recipe.epochs=1"]
        data = ["data=imagenette", f"data.root={imagenette_root}", "trainer.workers=0"]
        quiet = ["logger.wandb=disabled", "trainer.progress=false"]
        config = compose_config("train", [*overrides, *data, *quiet])
        run = Run(config | {"workspace": str(workspace)})
        if run.parent is None:
            return run
        parent = make("table3/resnet18b_fp")
        execute(parent, weights_too=True)
        return Run(run.config | {"parent": str(Workspace(workspace).weights(parent))})

    return make


@pytest.mark.slow
@pytest.mark.imagenette
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_epoch_of_every_network_and_method_on_real_photographs(
    an_epoch: MakeRun, experiment: str
) -> None:
    record = execute(an_epoch(experiment))
    assert record.provenance["train_images"] == 4500
    assert record.test_images == 1100
    # Guessing is wrong nine times in ten.
    assert record.metrics["train_error"][0] < 0.85
