"""``ternary::linear`` for few rows on a GPU, in Triton."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from ttq_repro.deploy.runtime.codes import FILTERS_PER_BLOCK, Codes

#: For more rows, unpacking the weights once and using cuBLAS is faster.
MOST_ROWS = 8
#: Types of the inputs; sums are always float32.
TYPES = (torch.float32, torch.bfloat16, torch.float16)
#: Products (rows x filters x inputs) that a program holds at a time.
PRODUCTS = 8192


def linear(x: Tensor, codes: Codes) -> Tensor:
    """``F.linear`` for at most ``MOST_ROWS`` rows, of a type in ``TYPES``.

    Shapes: (..., depth) to (..., filters), in the type of ``x``.

    Raises:
        ValueError: the shapes do not fit together.
    """
    depth, filters = x.shape[-1], len(codes.bias)
    codes.check(depth)
    blocks = triton.cdiv(filters, FILTERS_PER_BLOCK)
    x = x.contiguous()
    out = x.new_empty(*x.shape[:-1], filters)
    rows = x.numel() // depth
    if rows:
        held = triton.next_power_of_2(rows)
        # Triton launches on the current device, even if the arguments are on another.
        with torch.cuda.device_of(x):
            _block[(blocks,)](
                *(x, *codes, out, rows, filters),
                depth=depth,
                terms=len(codes.levels),
                tile_rows=held,
                tile_filters=FILTERS_PER_BLOCK,
                tile_depth=PRODUCTS // FILTERS_PER_BLOCK // held,
            )
    return out


@triton.jit
def _block(  # type: ignore[no-untyped-def]
    x, words, levels, scales, bias, out, rows, filters, depth: tl.constexpr, terms: tl.constexpr,
    tile_rows: tl.constexpr, tile_filters: tl.constexpr, tile_depth: tl.constexpr,
):  # fmt: skip
    """Compute one block of filters for all rows."""
    block = tl.program_id(0)
    row = tl.arange(0, tile_rows)
    lane = tl.arange(0, tile_filters)
    number = block * tile_filters + lane
    exists = number < filters
    total = tl.zeros((tile_rows, tile_filters), tl.float32)
    for term in tl.static_range(terms):
        level_0 = tl.load(levels + 4 * term)
        level_1 = tl.load(levels + 4 * term + 1)
        level_2 = tl.load(levels + 4 * term + 2)
        level_3 = tl.load(levels + 4 * term + 3)
        products = tl.zeros((tile_rows, tile_filters, tile_depth), tl.float32)
        for start in range(0, depth, tile_depth):
            k = start + tl.arange(0, tile_depth)
            word = tl.load(words + block * depth + k, k < depth, 0)
            code = (word[None, :] >> (2 * lane)[:, None]) & 3
            lower = tl.where(code == 0, level_0, level_1)
            weight = tl.where(code < 2, lower, tl.where(code == 2, level_2, level_3))
            place = row[:, None] * depth + k[None, :]
            inputs = tl.load(x + place, (row[:, None] < rows) & (k[None, :] < depth), 0.0)
            products += inputs.to(tl.float32)[:, None, :] * weight[None, :, :]
        scale = tl.load(scales + term * filters + number, exists, 0.0)
        total += scale[None, :] * tl.sum(products, 2)
    total += tl.load(bias + number, exists, 0.0)[None, :]
    place = row[:, None] * filters + number[None, :]
    tl.store(out + place, total, (row[:, None] < rows) & exists[None, :])
