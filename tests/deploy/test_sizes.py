"""The tables of sizes and operations."""

from __future__ import annotations

import pytest
import safetensors.torch

from tests.deploy.networks import packed, trained
from tests.test_configs import choices
from ttq_repro.deploy.format import serialize
from ttq_repro.deploy.sizes import FORMATS, HEADER, float_sizes, measure, packed_sizes
from ttq_repro.runs.config import Config, compose_config


@pytest.fixture(scope="module")
def request_() -> Config:
    return compose_config("sizes", [])


def test_every_model_has_its_row(request_: Config) -> None:
    named = {
        override.removeprefix("model=")
        for entry in request_["networks"]
        for override in entry["overrides"]
        if override.startswith("model=")
    }
    # Dropout takes no room.
    assert named == set(choices("model")) - {"alexnet_bn_dropout"}
    for entry in request_["networks"]:
        assert entry["targets"].keys() <= {"1 bit", "2 bits", "entropy-coded"}


def test_the_parts_of_a_file_are_all_of_it() -> None:
    network = trained()
    content = serialize(packed(network, fold=True), "zstd")
    assert packed_sizes(content).total == len(content)
    sizes = float_sizes(network)
    assert sizes.total == len(safetensors.torch.save(network.state_dict()))
    assert sizes.layers == 4 * sum(layer.weights for layer in packed(network).layers)
    assert sizes.scales == 7 * 2 * 4


def test_resnet20_meets_its_targets(request_: Config) -> None:
    """Header, scales and the float layers included."""
    sizes, operations = measure({"networks": request_["networks"][:2]})
    rows = [dict(zip(HEADER, row, strict=True)) for row in sizes.rows]
    assert len(rows) == 2 * (1 + len(FORMATS))
    for row in rows:
        if row["format"] == "2 bits":
            assert float(row["layers x"]) >= 16
            assert float(row["whole x"]) >= 14
            assert row["target"] == ">= 16: met, >= 14: met"
        if row["format"] == "entropy-coded":
            assert float(row["layers x"]) >= 20
            assert float(row["whole x"]) >= 17
            assert row["target"] == ">= 20: met, >= 17: met"
        assert row["codes from"]
    assert len(operations.rows) == 2


def test_a_target_that_is_missed_is_named(request_: Config) -> None:
    entry = request_["networks"][0] | {"targets": {"2 bits": [16, 99]}}
    sizes, _ = measure({"networks": [entry]})
    assert [row[-1] for row in sizes.rows if row[2] == "2 bits"] == [">= 16: met, >= 99: missed"]
