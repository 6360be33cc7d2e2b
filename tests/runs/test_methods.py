"""Every method from its config to its record, also when a stopped run is resumed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.conftest import stopped_at
from ttq_repro.runs.config import choices
from ttq_repro.runs.execute import execute
from ttq_repro.runs.run import Run
from ttq_repro.runs.workspace import Workspace
from ttq_repro.training.network import quantized_network, restore_float

MakeRun = Callable[..., Run]

SHARES = {"negative", "zero", "positive"}
SCALES = {"positive_scale", "negative_scale"}
REPORTED = {
    "full_precision": set(),
    "ttq": SHARES | SCALES,
    "ttq_sparsity": SHARES | SCALES,
    "twn": SHARES | SCALES,
    "dorefa": SHARES | SCALES,
    "bwn": SHARES | SCALES,
    "binary_connect": SHARES | SCALES,
    "ternary_connect": SHARES | SCALES,
    "deep_compression": SHARES | {"stage", "distinct_values"},
    "lsq": SHARES | SCALES,
    "absmean": SHARES | SCALES,
    "seq": SHARES | SCALES,
    "ttq_paper": SHARES | SCALES,
    "ttq_authors_code": SHARES | SCALES,
    "twn_per_filter": SHARES | SCALES,
    "bwn_authors_code": SHARES | SCALES,
}


@pytest.mark.parametrize("quantizer", REPORTED)
def test_it_trains_without_a_branch_for_it(tiny_run: MakeRun, quantizer: str) -> None:
    epochs = 4 if quantizer == "deep_compression" else 1
    run = tiny_run(f"quantizer={quantizer}", f"recipe.epochs={epochs}")
    record = execute(run)
    assert np.isfinite(record.metrics["train_loss"]).all()
    network = quantized_network(run.config)
    restore_float(network)
    trained = load_file(Workspace.of(run.config).weights(run))
    weights = {
        name: start
        for name, start in network.named_parameters()
        if start.ndim > 1 and name.endswith(("weight", "weight.original"))
    }
    assert len(weights) == 8
    for name, start in weights.items():
        assert not torch.equal(trained[name], start), f"{name} has not learned"
    assert len(record.layers) == (7 if REPORTED[quantizer] else 0)
    for layer in record.layers.values():
        assert set(layer) == REPORTED[quantizer]
        assert {len(values) for values in layer.values()} == {epochs}
    assert ("sparsity" in record.metrics) == bool(REPORTED[quantizer])
    if REPORTED[quantizer]:
        assert record.metrics["sparsity"][-1] == pytest.approx(record.sparsity(), abs=1e-5)
    if quantizer == "deep_compression":
        assert all(layer["stage"] == [1, 1, 1, 2] for layer in record.layers.values())


def test_every_config_of_a_quantizer_is_tried() -> None:
    assert choices("quantizer") == sorted(REPORTED)


@pytest.mark.parametrize("quantizer", ["binary_connect", "bwn_authors_code"])
def test_latent_weights_are_clipped_after_the_last_step_too(
    tiny_run: MakeRun, quantizer: str
) -> None:
    """Training starts so far outside of [-1, 1] that one epoch alone would not lead back."""
    parent = tiny_run()
    execute(parent)
    path = Workspace.of(parent.config).weights(parent)
    save_file({name: 50 * tensor for name, tensor in load_file(path).items()}, path)
    run = tiny_run(
        f"quantizer={quantizer}", f"parent='{path}'", "recipe.epochs=1",
        *(["quantizer.rescale=false"] if quantizer == "binary_connect" else []),
    )  # fmt: skip
    execute(run)
    trained = load_file(Workspace.of(run.config).weights(run))
    latent = [trained[name] for name in trained if name.endswith("weight.original")]
    assert len(latent) == 7
    assert max(weight.abs().max() for weight in latent) <= 1


@pytest.mark.parametrize(
    "overrides",
    [
        ["quantizer=binary_connect", "quantizer.stochastic=true"],
        ["quantizer=deep_compression", "quantizer.cluster_at=0.5"],
        ["recipe=paper_warm_up", "recipe.epochs=4", "recipe.schedule.milestones=[3]"],
    ],
)
def test_a_stopped_run_goes_on_bit_for_bit(
    tiny_run: MakeRun, overrides: list[str], tmp_path: Path
) -> None:
    """Stopped in the second epoch, when Deep Compression has pruned and just clustered.

    The warm-up of the paper's schedule has not ended yet, and its drop is still to come.
    """
    undisturbed = execute(tiny_run(*overrides))
    again = Run(tiny_run(*overrides).config | {"workspace": str(tmp_path / "again")})
    with stopped_at(1):
        execute(again)
    resumed = execute(again)
    assert [before["epochs"] for before in resumed.provenance["earlier"]] == [1]
    assert resumed.weights_sha256 == undisturbed.weights_sha256
    assert resumed.layers == undisturbed.layers
    for name in ("train_error", "test_loss", "learning_rate"):
        assert resumed.metrics[name] == undisturbed.metrics[name]
