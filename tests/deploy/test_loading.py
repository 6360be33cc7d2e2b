"""What a loaded network consists of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.deploy.networks import INPUTS, images, packed, relative_difference, trained
from ttq_repro import deploy
from ttq_repro.deploy import load, loading
from ttq_repro.deploy.bits import pack_bits
from ttq_repro.deploy.format import parse, serialize
from ttq_repro.deploy.loading import CHUNK, PackedWeight, Weights, build, packed_weight
from ttq_repro.errors import UserError


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packed") / "net.safetensors"
    path.write_bytes(serialize(packed(trained())))
    return path


def test_a_wrong_argument_is_not_the_files_fault(path: Path) -> None:
    with pytest.raises(ValueError, match=r"^weights must be one of auto, packed, "):
        load(path, "fp32")


def test_our_own_mistakes_are_not_the_files_fault(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*_: object) -> None:
        raise ValueError("our own")

    monkeypatch.setattr(loading, "build", wrong)
    with pytest.raises(ValueError, match=r"^our own$"):
        load(path)


def test_quantized_layers_hold_packed_codes_and_nothing_latent(path: Path) -> None:
    loaded = load(path, "unpacked")
    state = loaded.state_dict()
    held = {name: module for name, module in loaded.named_modules() if packed_weight(module)}
    assert len(held) == 7
    for name, module in held.items():
        codes = state[f"{name}.parametrizations.weight.original"]
        assert codes.dtype == torch.uint8
        assert codes.numel() == -(-module.weight.numel() // 4)
        assert state[f"{name}.parametrizations.weight.0.levels"].shape == (1, 3)
    large = [name for name, tensor in state.items() if tensor.numel() > 432]
    assert {name.rpartition(".")[2] for name in large} == {"original"}
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert not loaded.training


def test_a_dense_network_has_plain_weights() -> None:
    made = packed(trained())
    dense = build(made, "dense")
    assert not any(packed_weight(module) for module in dense.modules())
    assert torch.equal(dense(images()), build(made, "unpacked")(images()))
    assert len(dense.linear.weight.unique()) == 3


def test_a_dense_network_has_gradients_with_respect_to_images() -> None:
    network, seen = build(packed(trained()), "dense"), images().requires_grad_()
    network(seen).sum().backward()
    assert seen.grad is not None
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_images_are_normalized_where_they_are() -> None:
    made = INPUTS.normalized(torch.zeros(2, 3, 32, 32, dtype=torch.uint8, device="meta"))
    assert made.device.type == "meta"


@pytest.mark.parametrize("weights", ["packed", "unpacked", "dense"])
@pytest.mark.parametrize("method", ["ttq", "bwn"])
@pytest.mark.parametrize(
    ("set_default", "other", "usual"),
    [
        (torch.set_default_dtype, torch.float64, torch.float32),
        (torch.set_default_device, "meta", None),
    ],
)
def test_defaults_of_the_process_do_not_matter(
    set_default: Callable[[Any], None], other: Any, usual: Any, method: str, weights: Weights
) -> None:
    network, pixels = trained(method=method), torch.arange(3072, dtype=torch.uint8)

    def logits() -> Tensor:
        made = parse(serialize(packed(network, fold=True), "huffman"))
        return build(made, weights)(made.inputs.normalized(pixels.view(1, 3, 32, 32)))

    expected = logits()
    set_default(other)
    try:
        found = logits()
    finally:
        set_default(usual)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


def test_what_was_packed_is_read_back_by_the_public_names(tmp_path: Path) -> None:
    network, path = trained(), tmp_path / "net.safetensors"
    model = "CifarResNet", {"depth": 8, "num_classes": 5}
    path.write_bytes(deploy.serialize(deploy.pack(network, *model, INPUTS), "zstd"))
    read, loaded = deploy.open_packed(path)
    assert read.inputs == INPUTS
    assert relative_difference(loaded(images()), network(images())) < 1e-5


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"net\.safetensors: No such file or directory"):
        load(tmp_path / "net.safetensors")


@pytest.mark.parametrize("filters", [1, 3])
@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_a_weight_of_several_chunks_unpacks_as_one(filters: int, width: int) -> None:
    shape = (3, CHUNK // 2 + 1)
    index = torch.randint(0, 2**width, (3 * (CHUNK // 2 + 1),), dtype=torch.uint8)
    levels = torch.randn(filters, 2**width)
    weight = PackedWeight(shape, width, levels)(pack_bits(index, width))
    rows = torch.arange(filters).repeat_interleave(len(index) // filters)
    assert torch.equal(weight, levels[rows, index.long()].view(shape))


def test_it_computes_in_another_precision(path: Path) -> None:
    network = load(path)
    expected = network(images())
    torch.testing.assert_close(network.double()(images().double()).float(), expected)


def test_it_compiles(path: Path) -> None:
    torch._dynamo.reset()
    network = load(path)
    expected = network(images())
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(images()), expected)


@pytest.mark.parametrize("weights", ["packed", "unpacked", "dense"])
def test_networks_of_one_file_share_nothing(weights: Weights) -> None:
    made = packed(trained())
    before = serialize(made)
    first, second = build(made, weights), build(made, weights)
    expected = second(images())
    with torch.no_grad():
        for tensor in first.state_dict().values():
            tensor.zero_()
    assert torch.equal(second(images()), expected)
    assert serialize(made) == before


def test_too_little_memory_is_one_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9")

    monkeypatch.setattr(loading, "build", fail)
    with pytest.raises(UserError, match=r"net\.safetensors: not enough memory to load it$"):
        load(path)
