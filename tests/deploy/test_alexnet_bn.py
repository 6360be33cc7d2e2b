"""The one large network folds completely, and loads in less memory than its float weights."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from tests.deploy.networks import INPUTS, images, relative_difference, settle
from ttq_repro.deploy import PackedNetwork, load, pack
from ttq_repro.deploy.coding import CODINGS
from ttq_repro.deploy.format import serialize
from ttq_repro.deploy.loading import Weights
from ttq_repro.deploy.to_onnx import to_onnx
from ttq_repro.files import ROOT
from ttq_repro.models import AlexNetBN
from ttq_repro.quantizers import TTQ


class Exported(NamedTuple):
    packed: PackedNetwork
    path: Path
    parameters: int
    logits: Tensor


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """AlexNet-BN with 1000 classes, first and last layer float, as in the paper."""
    torch.manual_seed(0)
    network = AlexNetBN()
    parameters = sum(p.numel() for p in network.parameters())
    settle(network, TTQ, last=False)
    inputs = replace(INPUTS, size=(224, 224), classes=tuple(map(str, range(1000))))
    packed = pack(network, "AlexNetBN", {"num_classes": 1000}, inputs, fold=True)
    path = tmp_path_factory.mktemp("alexnet") / "net.safetensors"
    path.write_bytes(serialize(packed))
    with torch.no_grad():
        logits = network(images(1, 224))
    return Exported(packed, path, parameters, logits)


@pytest.mark.parametrize("weights", ["auto", "unpacked"])
def test_it_folds_whole_and_computes_the_same_logits(exported: Exported, weights: Weights) -> None:
    loaded = load(exported.path, weights)
    assert not any(isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) for m in loaded.modules())
    assert relative_difference(loaded(images(1, 224)), exported.logits) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["float", "int2"])
def test_onnx_computes_the_same_logits(weights: str, exported: Exported) -> None:
    from tests.deploy.test_to_onnx import run as run_onnx  # Skips if the extra is missing.

    out = run_onnx(to_onnx(exported.packed, weights), images(1, 224))
    assert relative_difference(out, exported.logits) < 1e-5


def test_it_is_almost_eight_times_smaller(exported: Exported) -> None:
    assert 4 * exported.parameters / exported.path.stat().st_size > 7.9


@functools.cache
def alone(path: Path) -> dict[str, Any]:
    """Memory and modules of a process that loads the file, computes once, and does nothing else."""
    command = [sys.executable, "-c", PROGRAM, str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "coding",
    [
        # Both take seconds to compress 60 million weights.
        pytest.param(coding, marks=pytest.mark.slow if coding in ("zstd", "huffman") else ())
        for coding in CODINGS
    ],
)
def test_loading_and_computing_stay_below_one_float32_copy(
    coding: str, exported: Exported, tmp_path: Path
) -> None:
    if coding == "packed":  # By default.
        path = exported.path
    else:
        path = tmp_path / "net.safetensors"
        path.write_bytes(serialize(exported.packed, coding))
    seen = alone(path)
    assert seen["peak"] < 4 * exported.parameters
    assert seen["after"] < 2 * exported.parameters, "a dense copy is left at rest"


def test_loading_needs_no_training_code(exported: Exported) -> None:
    modules = alone(exported.path)["modules"]
    assert "ttq_repro.deploy.loading" in modules
    prefixes = ("ttq_repro.training", "ttq_repro.runs", "ttq_repro.data", "torch._inductor")
    assert not [name for name in modules if name.startswith(prefixes)]
    assert not {"pytorch_lightning", "hydra", "wandb", "onnx"} & set(modules)


PROGRAM = """
import ctypes, json, sys
import torch
from torch.nn import functional as F
from ttq_repro.deploy import load

def memory(field):
    with open("/proc/self/status") as status:
        return 1024 * next(int(line.split()[1]) for line in status if line.startswith(field))

torch.set_num_threads(1)
image = torch.zeros(1, 3, 224, 224)
# What torch's kernels take for themselves is not the network's.
F.conv2d(image, torch.zeros(4, 3, 3, 3))
F.linear(image[..., 0], torch.zeros(8, 224))
before = memory("VmRSS")
with torch.inference_mode():
    network = load(sys.argv[1])
    network(image)
peak = memory("VmHWM") - before
ctypes.CDLL("libc.so.6").malloc_trim(0)  # What is kept for later is not in use.
print(
    json.dumps(
        {
            "peak": peak,
            "after": memory("VmRSS") - before,
            "modules": list(sys.modules),
        }
    )
)
"""
