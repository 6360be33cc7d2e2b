"""The Triton kernel, interpreted on a CPU and compiled for a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.deploy.runtime.weights import exact_linear, random_codes, random_input
from ttq_repro.deploy.runtime.codes import FILTERS_PER_BLOCK, Codes
from ttq_repro.files import ROOT

pytest.importorskip("triton", reason="needs Triton")
from ttq_repro.deploy.runtime import gpu

#: Triton's names for dtypes.
NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}

#: Triton decides whether to interpret a kernel when it is defined.
PROGRAM = """
import torch
from tests.deploy.runtime.weights import exact_linear, random_codes, random_input
from ttq_repro.deploy.runtime import gpu

for rows, depth, filters, terms in [(1, 1, 1, 1), (1, 600, 33, 1), (3, 70, 16, 2), (8, 130, 40, 1)]:
    codes = random_codes(depth, filters, terms=terms)
    x = random_input(rows, depth)
    out = gpu.linear(x, codes)
    torch.testing.assert_close(out.double(), exact_linear(x, codes), rtol=1e-5, atol=2e-5)
half = gpu.linear(x.bfloat16(), codes)
assert half.dtype == torch.bfloat16
torch.testing.assert_close(half.double(), exact_linear(x.bfloat16(), codes), rtol=1e-2, atol=1e-2)
assert gpu.linear(x[:0], codes).shape == (0, 40)
"""


def test_few_rows_interpreted() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_it_runs_where_its_input_is() -> None:
    codes, x = random_codes(70, 20), random_input(3, 70)
    there = torch.device("cuda", 1)
    out = gpu.linear(x.to(there), Codes(*(tensor.to(there) for tensor in codes)))
    assert out.device == there
    torch.testing.assert_close(out.cpu().double(), exact_linear(x, codes), rtol=1e-5, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", gpu.TYPES)
@pytest.mark.parametrize(("rows", "terms"), [(1, 1), (8, 2)])
def test_it_compiles_for_a_gpu_that_is_not_there(
    rows: int, terms: int, dtype: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    compiler = pytest.importorskip("triton.compiler")
    backend = pytest.importorskip("triton.backends.compiler")
    constants = {
        "depth": 9216,
        "terms": terms,
        "tile_rows": rows,
        "tile_filters": FILTERS_PER_BLOCK,
        "tile_depth": gpu.PRODUCTS // FILTERS_PER_BLOCK // rows,
    }
    given = f"*{NAMES[dtype]}"
    types = {"words": "*i32", "rows": "i32", "filters": "i32", "x": given, "out": given}
    signature = {
        name: "constexpr" if name in constants else types.get(name, "*fp32")
        for name in gpu._block.arg_names
    }
    source = compiler.ASTSource(gpu._block, signature, constexprs=constants)
    hopper = backend.GPUTarget("cuda", 90, 32)
    assert compiler.compile(source, target=hopper).asm["cubin"]
