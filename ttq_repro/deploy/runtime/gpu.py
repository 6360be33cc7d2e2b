"""``ternary::linear`` for few rows on a GPU, in Triton. Not yet measured on one."""

from __future__ import annotations

import torch
from torch import Tensor

from ttq_repro.deploy.runtime.kernels import FILTERS_A_BLOCK, Codes

try:
    import triton
    import triton.language as tl
except ImportError:
    triton = None

#: Beyond so many rows, weights that are unpacked once and cuBLAS are the better choice.
MOST_ROWS = 8
#: Products that a program holds at a time, over rows, filters and inputs.
PRODUCTS = 8192


def triton_linear(x: Tensor, codes: Codes) -> Tensor:
    """At most ``MOST_ROWS`` rows. Shapes: (..., depth) to (..., filters).

    Raises:
        ValueError: the shapes do not fit together.
    """
    depth = x.shape[-1]
    codes.check(depth, 1)
    x = x.contiguous()
    rows = x.numel() // depth
    out = x.new_empty(*x.shape[:-1], codes.filters)
    held = triton.next_power_of_2(rows)
    _kernel[(len(codes.words),)](
        *(x, *codes, out, rows, depth, codes.filters),
        TERMS=len(codes.levels),
        ROWS=held,
        FILTERS=FILTERS_A_BLOCK,
        DEPTH=PRODUCTS // FILTERS_A_BLOCK // held,
    )
    return out


if triton is not None:

    @triton.jit
    def _kernel(
        x, words, levels, scales, bias, out, rows, depth, filters,
        TERMS: tl.constexpr, ROWS: tl.constexpr, FILTERS: tl.constexpr, DEPTH: tl.constexpr,
    ):  # fmt: skip
        """One block of filters, for all rows."""
        block = tl.program_id(0)
        row = tl.arange(0, ROWS)
        lane = tl.arange(0, FILTERS)
        filter = block * FILTERS + lane
        exists = filter < filters
        total = tl.zeros((ROWS, FILTERS), tl.float32) + tl.load(bias + filter, exists, 0.0)[None, :]
        for term in tl.static_range(TERMS):
            level_0 = tl.load(levels + 4 * term)
            level_1 = tl.load(levels + 4 * term + 1)
            level_2 = tl.load(levels + 4 * term + 2)
            level_3 = tl.load(levels + 4 * term + 3)
            products = tl.zeros((ROWS, FILTERS, DEPTH), tl.float32)
            for start in range(0, depth, DEPTH):
                k = start + tl.arange(0, DEPTH)
                word = tl.load(words + block * depth + k, k < depth, 0)
                code = (word[None, :] >> (2 * lane)[:, None]) & 3
                low = tl.where(code == 0, level_0, level_1)
                weight = tl.where(code < 2, low, tl.where(code == 2, level_2, level_3))
                place = row[:, None] * depth + k[None, :]
                read = (row[:, None] < rows) & (k[None, :] < depth)
                values = tl.load(x + place, read, 0.0).to(tl.float32)
                products += values[:, None, :] * weight[None, :, :]
            scale = tl.load(scales + term * filters + filter, exists, 0.0)
            total += scale[None, :] * tl.sum(products, 2)
        place = row[:, None] * filters + filter[None, :]
        tl.store(out + place, total, (row[:, None] < rows) & exists[None, :])
