"""The tables of sizes and operations."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import safetensors.torch

from tests.deploy.networks import packed, trained
from tests.records import record
from ttq_repro.benchmark import sizes
from ttq_repro.benchmark.sizes import AS_TRAINED, float_sizes, measure, packed_sizes
from ttq_repro.deploy.format import serialize
from ttq_repro.deploy.loading import open_packed
from ttq_repro.errors import UserError
from ttq_repro.files import ROOT
from ttq_repro.paper.reported import TABLE1
from ttq_repro.runs.config import Config, choices, compose_config
from ttq_repro.runs.trained import record_of
from ttq_repro.table import Table


@pytest.fixture(scope="module")
def request_() -> Config:
    return compose_config("sizes", [])


def test_every_model_has_its_row(request_: Config) -> None:
    named = {
        override.removeprefix("model=")
        for entry in request_["networks"]
        for override in entry.get("overrides", [])
        if override.startswith("model=")
    }
    files = [entry["packed"] for entry in request_["networks"] if "packed" in entry]
    named |= {Path(file).parent.name.partition("-")[0] for file in files}
    # Dropout has no parameters.
    assert named == set(choices("model")) - {"alexnet_bn_dropout"}
    for entry in request_["networks"]:
        assert entry.get("targets", {}).keys() <= {"1 bit", "2 bits", "entropy-coded"}


def test_the_parts_of_a_file_are_all_of_it() -> None:
    network = trained()
    content = serialize(packed(network, fold=True), "zstd")
    assert packed_sizes(content).total == len(content)
    sizes = float_sizes(network)
    assert sizes.total == len(safetensors.torch.save(network.state_dict()))
    assert sizes.layers == 4 * sum(layer.weights for layer in packed(network).layers)
    assert sizes.scales == 7 * 2 * 4


@pytest.fixture(scope="module")
def resnet20(request_: Config) -> dict[str, Table]:
    (entry,) = (entry for entry in request_["networks"] if entry["title"] == "ResNet-20")
    return dict(measure({"networks": [entry]}))


def test_the_committed_tables_are_what_is_measured(resnet20: dict[str, Table]) -> None:
    for name, table in resnet20.items():
        committed = Table.read(ROOT / "results" / "benchmarks", name)
        assert (committed.caption, committed.header) == (table.caption, table.header)
        rows = [row for row in committed.rows if row[0] == "ResNet-20"]
        assert rows == table.rows, "run `make sizes`"


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("results/**/*.packed.safetensors")), ids=lambda path: path.parent.name
)
def test_a_shipped_network_is_of_its_record_and_as_large_as_told(path: Path) -> None:
    described, _ = open_packed(path, "unpacked")
    run = record_of(path.with_name(path.name.replace(".packed", "")))
    assert described.provenance["weights_sha256"] == run.weights_sha256
    page = (ROOT / "docs" / "inference.md").read_text()
    told = dict(re.findall(r"`([\w-]+)`, (\d+) kB", page))
    assert {name.partition("-")[0] for name in told} == {f"resnet{depth}" for depth in TABLE1}
    kilobytes = str(round(path.stat().st_size / 1000))
    assert told.get(path.parent.name, kilobytes) == kilobytes


def rows_of(table: Table) -> list[dict[str, str]]:
    return [dict(zip(table.header, row, strict=True)) for row in table.rows]


def test_resnet20_meets_its_targets(resnet20: dict[str, Table]) -> None:
    """The ratios of the whole file include header, scales and float layers."""
    rows = {row["format"]: row for row in rows_of(resnet20["sizes"])}
    assert list(rows) == [AS_TRAINED, "2 bits", "trits", "entropy-coded"]
    assert float(rows["2 bits"]["layers x"]) >= 16
    assert float(rows["2 bits"]["whole x"]) >= 14
    assert rows["2 bits"]["target"] == ">= 16: met, >= 14: met"
    assert float(rows["entropy-coded"]["layers x"]) >= 20
    assert float(rows["entropy-coded"]["whole x"]) >= 17
    assert rows["entropy-coded"]["target"] == ">= 20: met, >= 17: met"


def test_resnet20_is_the_trained_one_that_is_committed(
    request_: Config, resnet20: dict[str, Table]
) -> None:
    path = ROOT / request_["networks"][0]["packed"]
    rows = rows_of(resnet20["sizes"])
    for row in rows + rows_of(resnet20["operations"]):
        assert row["codes from"] == (
            "trained: resnet20-ttq_sparsity-short-02e2b645 seed 1, test error 10.62%"
        )
    in_bytes = {row["format"]: int(row["bytes"].replace(",", "")) for row in rows}
    weights = path.with_name("seed1.safetensors")
    assert in_bytes["2 bits"] == path.stat().st_size
    assert in_bytes[AS_TRAINED] == weights.stat().st_size


def test_a_codebook_is_huffman_coded(request_: Config) -> None:
    (entry,) = (one for one in request_["networks"] if one["title"].endswith("Deep Compression"))
    rows = {row["format"]: row for row in rows_of(dict(measure({"networks": [entry]}))["sizes"])}
    assert list(rows) == [AS_TRAINED, "8 bits", "Huffman", "entropy-coded"]
    assert float(rows["Huffman"]["layers x"]) > float(rows["entropy-coded"]["layers x"]) > 4
    path = ROOT / entry["packed"]
    in_bytes = {name: int(row["bytes"].replace(",", "")) for name, row in rows.items()}
    assert in_bytes["Huffman"] == path.stat().st_size
    assert in_bytes[AS_TRAINED] == path.with_name("seed1.safetensors").stat().st_size


def test_a_packed_file_of_another_run_is_named(
    request_: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ROOT / request_["networks"][0]["packed"]
    folder = tmp_path / "checkpoints" / "cifar10" / path.parent.name
    folder.mkdir(parents=True)
    entry = {"title": "", "packed": folder / path.name}
    shutil.copy(path, folder)
    with pytest.raises(UserError, match=r"belongs to no run; there"):
        measure({"networks": [entry]})
    monkeypatch.setattr(sizes, "record_of", lambda _: record(weights_sha256="of another"))
    with pytest.raises(UserError, match="made from other weights of a-1 seed 1"):
        measure({"networks": [entry]})


def test_an_untrained_network_also_has_batch_norm_as_trained() -> None:
    overrides = ["model=resnet20", "quantizer=ttq"]
    entry = {"title": "a", "codes_from": "untrained, b", "overrides": overrides, "side": 32}
    rows = rows_of(dict(measure({"networks": [entry]}))["sizes"])
    in_bytes = {row["format"]: int(row["batch norm"].replace(",", "")) for row in rows}
    assert list(in_bytes)[:3] == [AS_TRAINED, "2 bits, batch norm as trained", "2 bits"]
    assert in_bytes["2 bits, batch norm as trained"] == 2 * 4 * 2 * 688 > in_bytes["2 bits"] * 2
    assert {row["codes from"] for row in rows} == {"untrained, b"}


def test_operations_are_counted_by_layer(request_: Config, resnet20: dict[str, Table]) -> None:
    (whole,) = rows_of(resnet20["operations"])
    *layers, total = rows_of(resnet20["operations_by_layer"])
    assert [layers[0]["layer"], layers[-1]["layer"]] == ["stem.0", "linear"]
    assert len(layers) == 20
    for column in ("weights", "multiplications", "additions", "not zero, %"):
        assert total[column] == whole[column]
    listed = {entry["title"] for entry in request_["networks"] if entry.get("by_layer")}
    assert listed == {"ResNet-20", "AlexNet-BN, first and last layer float"}


def test_an_untrained_network_says_so(request_: Config) -> None:
    for entry in request_["networks"]:
        assert ("packed" in entry) != entry.get("codes_from", "").startswith("untrained, ")


@pytest.mark.parametrize(
    ("overrides", "why"),
    [
        ([], "networks: a: no layer is quantized"),
        ([3], "overrides: 3 is not text"),
    ],
)
def test_an_untrained_network_that_cannot_be_packed_is_named(
    overrides: list[object], why: str
) -> None:
    entry = {"title": "a", "codes_from": "", "overrides": overrides, "side": 32}
    with pytest.raises(UserError, match=why):
        measure({"networks": [entry]})


def test_a_target_that_is_not_met_is_named(request_: Config) -> None:
    entry = request_["networks"][0] | {"targets": {"2 bits": [16, 99]}}
    sizes = dict(measure({"networks": [entry]}))["sizes"]
    assert [row[-1] for row in sizes.rows if row[2] == "2 bits"] == [">= 16: met, >= 99: not met"]
