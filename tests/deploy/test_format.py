"""The packed file: its content, and that damaged, altered or hostile files are refused."""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from tests.deploy.networks import ARCHITECTURES, CLASSES, images, packed, trained
from tests.hostile import Hostile
from tests.quantizers.methods import FLOAT, METHODS
from ttq_repro.deploy import format as format_
from ttq_repro.deploy import load
from ttq_repro.deploy.format import FORMAT, parse, serialize
from ttq_repro.deploy.loading import build
from ttq_repro.errors import PackedFileError

ZEROS = "0" * 64


@pytest.fixture(scope="module")
def content() -> bytes:
    return serialize(packed(trained(), fold=True), "trits")


def opened(content: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return safetensors.torch.load(content), json.loads(header["__metadata__"]["ttq_repro"])


def sealed(tensors: dict[str, Tensor], manifest: Any) -> bytes:
    """A file with a checksum computed by the documented rule."""
    if isinstance(manifest, dict) and "sha256" in manifest:
        manifest = manifest | {"sha256": ZEROS}
    content = safetensors.torch.save(tensors, {"ttq_repro": json.dumps(manifest)})
    digest = hashlib.sha256(content).hexdigest()
    return content.replace(ZEROS.encode(), digest.encode(), 1)


def test_the_file_is_laid_out_as_documented(content: bytes) -> None:
    tensors, manifest = opened(content)
    assert {name: str(t.dtype) for name, t in tensors.items()} == {
        "codes": "torch.uint8",
        "levels": "torch.float32",
        "batch_norm": "torch.float32",
        "floats": "torch.float32",
    }
    assert manifest["format"] == FORMAT == 1
    assert manifest["architecture"] == ["CifarResNet", {"depth": 8, "num_classes": 5}]
    assert manifest["batch_norm"] == "folded"
    assert manifest["coding"] == "trits"
    assert manifest["inputs"]["classes"] == list(CLASSES)
    assert manifest["provenance"] == {"run": "test"}
    (group,) = manifest["layers"]
    shapes = group["shapes"]
    assert group == {
        "shapes": shapes,
        "method": "TTQ",
        "lower": 1,
        "zero": True,
        "upper": 1,
        "symmetric": False,
        "per_filter": False,
    }
    assert list(shapes) == [f"blocks.{i}.conv{j}" for i in range(3) for j in (1, 2)] + ["linear"]
    parse(sealed(tensors, manifest))


def mutated(content: bytes, generator: random.Random) -> bytes:
    """The file, damaged at random in one of several ways."""
    altered = bytearray(content)
    # Half of the damage goes to the header, which is less than a tenth of the file.
    end = len(altered) if generator.random() < 0.5 else 2000
    at = generator.randrange(end)
    length = generator.choice([1, 1, 2, 8, 64])
    kind = generator.randrange(7)
    if kind == 0:
        altered[at] ^= 1 << generator.randrange(8)
    elif kind == 1:
        altered[at : at + length] = generator.randbytes(length)
    elif kind == 2:
        del altered[at:]
    elif kind == 3:
        del altered[at : at + length]
    elif kind == 4:
        altered[at:at] = generator.randbytes(length)
    elif kind == 5:
        altered[at : at + length] = bytes(length)
    else:
        other = generator.randrange(len(altered))
        altered[at : at + length] = altered[other : other + length]
    return bytes(altered)


def test_ten_thousand_damaged_files_are_refused(content: bytes) -> None:
    generator = random.Random(0)
    tried = 0
    while tried < 10_000:
        altered = mutated(content, generator)
        if altered == content:
            continue
        with pytest.raises(ValueError, match=r"safetensors|checksum|pickle|format"):
            parse(altered)
        tried += 1


STRANGE = [
    None, True, False, -1, 0, 1, 2, 7, 255, 10**6, 10**30, 1e308, float("nan"), float("inf"), "",
    "x", "linear", "CifarResNet", "AlexNetBN", "os.system", [], [[]], [1, 2], {}, {"depth": 20},
]  # fmt: skip


def places(node: Any) -> list[tuple[Any, Any]]:
    """Every container of a JSON document with each of its keys."""
    keys = node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else []
    return [place for key in keys for place in [(node, key), *places(node[key])]]


def tampered(content: bytes, generator: random.Random) -> bytes:
    """The file, altered by somebody who knows the format and recomputes the checksum."""
    tensors, manifest = opened(content)
    shapes = manifest["layers"][0]["shapes"]
    if manifest["coding"] == "packed" and "linear" in shapes and generator.random() < 0.05:
        leave_no_class(tensors, manifest)
    for _ in range(generator.choice([1, 1, 1, 2])):
        if generator.random() < 0.7:
            node, key = generator.choice(places(manifest))
            what = generator.randrange(3)
            if what == 0 and isinstance(node, dict):
                del node[key]
            elif what == 1:
                node[key] = copy.deepcopy(generator.choice(places(manifest)))[0]
            else:
                node[key] = copy.deepcopy(generator.choice(STRANGE))
        else:
            name = generator.choice([name for name, tensor in tensors.items() if len(tensor)])
            what = generator.randrange(4)
            if what == 3:
                tensors[name] = reshaped(tensors[name], generator)
                continue
            flat = tensors[name].numpy().copy().view(np.uint8)
            if what == 0:
                flat[generator.randrange(len(flat))] = generator.randrange(256)
            elif what == 1:
                flat = flat[: generator.randrange(len(flat)) // 4 * 4]
            else:
                flat = np.concatenate([flat, flat[:4]])
            tensors[name] = torch.from_numpy(flat.view(tensors[name].numpy().dtype))
    return sealed(tensors, manifest)


def reshaped(tensor: Tensor, generator: random.Random) -> Tensor:
    """Its bytes in another number of dimensions, or as another type."""
    if generator.random() < 0.5:
        return tensor.view(generator.choice([torch.int8, torch.bool, torch.uint8]))
    shapes = [(-1, 1), (1, -1), (1, 1, -1), *([(-1, 2)] if len(tensor) % 2 == 0 else [])]
    return tensor.view(generator.choice(shapes))


def check_tampered_files(contents: list[bytes], count: int, seed: int) -> int:
    """Check that each is refused or is a sound network; return how many were refused."""
    generator = random.Random(seed)
    refused = 0
    for _ in range(count):
        try:
            made = parse(tampered(generator.choice(contents), generator))
        except ValueError:
            refused += 1
        else:
            with torch.no_grad():
                assert build(made)(images(1)).shape == (1, 5)
    return refused


@pytest.fixture(scope="module")
def contents(content: bytes) -> list[bytes]:
    """Packed files of every method, architecture and coding."""
    codings = ("packed", "zstd", "huffman")
    made = [packed(trained(method=method)) for method in METHODS if method not in FLOAT]
    made += [packed(trained(name), name, fold=True) for name in ARCHITECTURES]
    return [content, *map(serialize, made, itertools.cycle(codings))]


def test_tampered_files_are_refused_or_sound(contents: list[bytes]) -> None:
    assert 200 < check_tampered_files(contents, 300, seed=0) < 300


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_ten_thousand_tampered_files_are_refused_or_sound(contents: list[bytes]) -> None:
    assert 7_000 < check_tampered_files(contents, 10_000, seed=1) < 10_000


Change = Callable[[dict[str, Tensor], dict[str, Any]], None]


def set_first_byte(tensors: dict[str, Tensor], _: dict[str, Any]) -> None:
    tensors["codes"][0] = 0b11


def stack_codes(tensors: dict[str, Tensor], _: dict[str, Any]) -> None:
    tensors["codes"] = tensors["codes"][:, None].expand(-1, 2).contiguous()


def set_nan(name: str) -> Change:
    def change(tensors: dict[str, Tensor], _: dict[str, Any]) -> None:
        tensors[name][0] = torch.nan

    return change


def put(value: Any, *keys: Any) -> Change:
    def change(_: dict[str, Tensor], manifest: dict[str, Any]) -> None:
        node: Any = manifest
        for key in keys[:-1]:
            node = node[key]
        node[keys[-1]] = value

    return change


def leave_no_class(tensors: dict[str, Tensor], manifest: dict[str, Any]) -> None:
    """Remove the last layer's 320 two-bit weights and its five biases, which end the floats."""
    tensors["codes"], tensors["floats"] = tensors["codes"][:-80], tensors["floats"][:-5]
    manifest["architecture"][1]["num_classes"] = 0
    manifest["layers"][0]["shapes"]["linear"][0] = 0
    manifest["inputs"]["classes"] = []


def name_a_layer_twice(_: dict[str, Tensor], manifest: dict[str, Any]) -> None:
    manifest["layers"].append(manifest["layers"][0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_first_byte, r"blocks\.0\.conv1 holds the code 3, but has 3 levels"),
        (stack_codes, "codes has 2 dimensions instead of one"),
        (set_nan("levels"), "a number in levels is not finite"),
        (set_nan("floats"), "a number in floats is not finite"),
        (put(2, "format"), "written in format 2; this version reads format 1"),
        (put(True, "format"), "written in format True; this version reads format 1"),
        (put("os.system", "architecture", 0), "architecture 'os.system' is not one of AlexNetBN"),
        (put("ResNet18", "architecture", 0), "ResNet18 cannot be built with"),
        (put(14, "architecture", 1, "depth"), r"no layer blocks\.1\.conv1 of shape"),
        (put(2402, "architecture", 1, "depth"), "argument depth of CifarResNet is 2402, too large"),
        (put(10**9 + 2, "architecture", 1, "depth"), "argument depth of CifarResNet is 1000000002"),
        (put([5, 65], "layers", 0, "shapes", "linear"), r"no layer linear of shape \[5, 65\]"),
        (put([5, 64], "layers", 0, "shapes", "head"), r"no layer head of shape \[5, 64\]"),
        (leave_no_class, r"CifarResNet with .* has no weights in linear\.weight"),
        (name_a_layer_twice, r"layer blocks\.0\.conv1 is listed twice"),
        (put("1", "layers", 0, "lower"), r"blocks\.0\.conv1: lower is '1', not int"),
        (put(300, "layers", 0, "upper"), "302 levels do not fit into 8 bits"),
        (put(True, "layers", 0, "symmetric"), "levels has shape"),
        (put("gzip", "coding"), "coding must be one of packed, trits"),
        (put("half", "batch_norm"), "batch_norm is 'half', not trained or folded"),
        (put("trained", "batch_norm"), "batch_norm has shape"),
        (put("abcde", "inputs", "classes"), "classes is 'abcde', not a list of names"),
        (put(["ant"], "inputs", "classes"), "1 class names for 5 classes"),
        (put("a\n99%  b", "inputs", "classes", 0), r"'a\\n99%  b' is not a printable class name"),
        (put("\ud800", "inputs", "classes", 4), r"'\\ud800' is not a printable class name"),
        (put([0, 1, 1], "inputs", "std"), "channel statistics"),
        (put([1, 1, 1e-320], "inputs", "std"), "channel statistics"),
        (put([0, 0, 1e300], "inputs", "mean"), "channel statistics"),
        (put([True, True], "inputs", "size"), "must have 1 to 1,048,576 pixels, not True x"),
        (put(0, "inputs", "centre"), r"the crop fraction must lie in \(0, 1\], got 0\.0"),
        (put([-1, -1], "inputs", "size"), "1 to 1,048,576 pixels, not -1 x -1"),
        (put([1024, 1025], "inputs", "size"), "1 to 1,048,576 pixels, not 1024 x 1025"),
        (put([10**6, 32], "inputs", "size"), "1 to 1,048,576 pixels, not 1000000 x 32"),
        (put([1], "provenance"), r"provenance is \[1\], not an object"),
        (put(None, "layers"), "its description is malformed"),
    ],
)
def test_what_does_not_fit_is_named(change: Change, message: str) -> None:
    tensors, manifest = opened(serialize(packed(trained(), fold=True)))
    change(tensors, manifest)
    with pytest.raises(ValueError, match=message):
        parse(sealed(tensors, manifest))


def test_few_bytes_do_not_unpack_to_many_weights(
    content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(format_, "WEIGHTS_PER_BYTE", 1)
    with pytest.raises(ValueError, match=r"[\d,]+ weights are too many for [\d,]+ bytes"):
        parse(content)


def test_a_lack_of_memory_is_not_the_files_fault(
    content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(format_, "decode", decode)
    with pytest.raises(MemoryError):
        parse(content)


def test_the_error_names_the_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    path.write_bytes(content[:-1])
    with pytest.raises(PackedFileError, match=r"net\.safetensors: not a safetensors file"):
        load(path)


def test_a_flipped_bit_is_found_by_the_checksum(content: bytes) -> None:
    altered = bytearray(content)
    altered[-1] ^= 1
    with pytest.raises(ValueError, match="the checksum is wrong: the file is damaged or altered"):
        parse(bytes(altered))


@pytest.mark.parametrize(
    "tensor",
    [
        {"dtype": "F8_E8M0", "shape": [4], "data_offsets": [0, 4]},  # A microscaling type.
        {"dtype": "U8", "shape": [0, 2**63], "data_offsets": [0, 0]},
    ],
)
def test_tensors_that_torch_does_not_have_are_refused(tensor: dict[str, Any]) -> None:
    header = json.dumps({"codes": tensor}).encode()
    content = len(header).to_bytes(8, "little") + header + bytes(tensor["data_offsets"][1])
    with pytest.raises(ValueError, match=r"^a safetensors file"):
        parse(content)


def test_weights_without_a_description_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "latent.safetensors"
    safetensors.torch.save_file(trained().state_dict(), path)
    with pytest.raises(PackedFileError, match="a safetensors file, but not of a packed network"):
        load(path)


@pytest.mark.parametrize("writer", ["pickle", "torch"])
def test_a_pickle_is_refused_and_never_run(writer: str, tmp_path: Path) -> None:
    path, trace = tmp_path / "net.safetensors", tmp_path / "trace"
    if writer == "pickle":
        path.write_bytes(pickle.dumps(Hostile(trace)))
    else:
        torch.save(Hostile(trace), path)
    with pytest.raises(PackedFileError, match="a pickle file; pickles are never loaded"):
        load(path)
    assert not trace.exists()
    with path.open("rb") as file:
        pickle.load(file) if writer == "pickle" else torch.load(file, weights_only=False)
    assert trace.exists(), "the file would have done it"


def test_a_compressed_bomb_is_refused_before_it_goes_off() -> None:
    import zstandard

    tensors, manifest = opened(serialize(packed(trained()), "zstd"))
    bomb = zstandard.ZstdCompressor().compress(bytes(2**28))
    tensors["codes"] = torch.frombuffer(bytearray(bomb), dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"do not decompress to the \d+ bytes of the layers"):
        parse(sealed(tensors, manifest))
