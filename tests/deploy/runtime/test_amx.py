"""The AMX kernel, on emulated tile registers if the processor has none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ttq_repro.deploy.runtime import runtime
from ttq_repro.deploy.runtime.layers import _unit_for_bfloat16
from ttq_repro.files import ROOT
from ttq_repro.runs.hardware import cpu_flags


@pytest.mark.skipif(runtime() is None, reason="needs a C++ compiler")
@pytest.mark.skipif("avx512_bf16" not in cpu_flags(), reason="needs AVX512-BF16")
def test_the_kernels_tests_on_emulated_tiles() -> None:
    """In a process of its own, because registered operators cannot be replaced."""
    compiler = os.environ.get("CXX", "g++")
    done = subprocess.run(
        [
            # One v cancels the -q of pyproject.toml, the other prints the names of the tests.
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-vv"),
            *("-k", "amx or threads", str(Path(__file__).with_name("test_kernels.py"))),
        ],
        cwd=ROOT,
        env=os.environ | {"CXX": f"{compiler} -DEMULATED_TILES"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "[amx]" in done.stdout, done.stdout
    assert "[amx_one_pass]" in done.stdout


@pytest.mark.parametrize("seed", range(20))
def test_levels_lose_nothing_as_sums_of_two_numbers_of_bfloat16(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    negative, positive = 0.01 + 2 * torch.rand(2, generator=generator)
    levels = torch.tensor([[-negative, 0.0, positive]])
    unit = _unit_for_bfloat16(levels)
    scaled = (levels / unit).double()
    high = scaled.bfloat16().double()
    low = (scaled - high).bfloat16().double()
    error = (scaled - high - low).abs().max() / scaled.abs().max()
    assert error < 2 * torch.finfo(torch.float32).eps
    torch.testing.assert_close(scaled.float() * unit, levels, rtol=2e-7, atol=0)


def test_levels_of_zero_keep_their_unit() -> None:
    assert _unit_for_bfloat16(torch.zeros(1, 3)) == 1
