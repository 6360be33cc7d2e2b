"""Reading a trained network back from the files of its run."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from ttq_repro.data.source import DataSource
from ttq_repro.errors import UserError
from ttq_repro.runs.execute import execute
from ttq_repro.runs.record import Record
from ttq_repro.runs.run import Run
from ttq_repro.runs.train import data_of
from ttq_repro.runs.trained import read_trained
from ttq_repro.runs.workspace import Workspace, record_and_weights

MakeRun = Callable[..., Run]


def ranks(network: nn.Module, record: Record, data: DataSource) -> np.ndarray:
    """How many classes the network prefers to the label of each test image.

    The images are normalized as the record says.
    """
    mean, std = (torch.tensor(record.inputs[key])[:, None, None] for key in ("mean", "std"))
    ((images, labels),) = data.test_loader()
    with torch.no_grad():
        logits = network((images / 255 - mean) / std)
    return (logits > logits.gather(1, labels[:, None])).sum(1).numpy()


@pytest.mark.parametrize("quantizer", ["full_precision", "ttq"])
def test_it_gets_the_images_right_that_the_record_says(
    tiny_run: MakeRun, quantizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ttq_repro.training.module.TOP5_FROM_CLASSES", 10)
    run = tiny_run(f"quantizer={quantizer}", "recipe.epochs=1")
    record = execute(run)
    workspace = Workspace.of(run.config)
    for path in (workspace.record(run), workspace.weights(run)):
        network, found = read_trained(path)
        assert found == record
        assert not network.training
        rank = ranks(network, record, data_of(run, workspace))
        assert np.array_equal(rank == 0, record.correct_images())
        assert record.metrics["test_top5_error"] == pytest.approx([(rank >= 5).mean()])


def test_files_of_a_run_are_found_from_each_other(tiny_run: MakeRun) -> None:
    run = tiny_run()
    workspace = Workspace.of(run.config)
    files = (workspace.record(run), workspace.weights(run))
    assert record_and_weights(files[0]) == record_and_weights(files[1]) == files


def test_missing_and_altered_files_are_named(tiny_run: MakeRun) -> None:
    run = tiny_run("recipe.epochs=1")
    workspace = Workspace.of(run.config)
    record, weights = workspace.record(run), workspace.weights(run)
    with pytest.raises(UserError, match=rf"belongs to no run; there is no record {record}"):
        read_trained(weights)
    execute(run)
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(UserError, match=r"\.safetensors: its SHA-256 is not the one in its"):
        read_trained(record)
    weights.unlink()
    with pytest.raises(UserError, match=r"seed1\.json: its weights, .*safetensors, are missing"):
        read_trained(record)
    record.write_text("{}")
    weights.write_bytes(content)
    with pytest.raises(UserError, match="not a readable record"):
        read_trained(record)
