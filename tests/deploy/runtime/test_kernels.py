"""The C++ kernels against torch in float64, at every level that this processor can run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.deploy.runtime.weights import (
    exact_conv2d,
    exact_linear,
    random_codes,
    random_input,
)
from ttq_repro.deploy.runtime.build import LEVELS, library
from ttq_repro.deploy.runtime.kernels import Codes, Kernels, Window, kernels

compiled = library()
if compiled is None:
    pytest.skip("needs a C++ compiler", allow_module_level=True)
SUPPORTED = Kernels(compiled).supported
ON_EVERY_LEVEL = pytest.mark.parametrize("level", SUPPORTED)

sizes = st.integers(1, 3)
pairs = st.tuples(sizes, sizes)


def close(ours: Tensor, exact: Tensor) -> None:
    torch.testing.assert_close(ours.double(), exact, rtol=1e-5, atol=2e-5)


@ON_EVERY_LEVEL
@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 27),
    depth=st.integers(1, 130),
    filters=st.integers(1, 150),
    terms=st.integers(1, 3),
)
def test_linear(level: str, rows: int, depth: int, filters: int, terms: int) -> None:
    codes = random_codes(depth, filters, terms=terms)
    x = random_input(rows, depth)
    close(Kernels(compiled, level).linear(x, codes), exact_linear(x, codes))


@ON_EVERY_LEVEL
@settings(max_examples=120, deadline=None)
@given(
    images=sizes,
    channels=st.integers(1, 17),
    filters=st.integers(1, 40),
    side=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    kernel=pairs,
    stride=pairs,
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    groups=sizes,
    order=st.sampled_from(["contiguous", "channels_last", "sliced"]),
)
def test_conv2d(
    level: str,
    images: int,
    channels: int,
    filters: int,
    side: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    groups: int,
    order: str,
) -> None:
    assume(all(s + 2 * p >= k for s, p, k in zip(side, padding, kernel, strict=True)))
    codes = random_codes(channels * kernel[0] * kernel[1], groups * filters, groups)
    window = Window(kernel, stride, padding, groups)
    x = random_input(images, groups * channels, *side)
    exact = exact_conv2d(x, codes, window)
    if order == "channels_last":
        x = x.contiguous(memory_format=torch.channels_last)
    elif order == "sliced":
        x = torch.stack([x, x], 4)[..., 1]
    out = Kernels(compiled, level).conv2d(x, codes, window)
    close(out, exact)
    assert out.is_contiguous(memory_format=torch.channels_last)


@ON_EVERY_LEVEL
def test_leading_dimensions_and_empty_batches_of_linear(level: str) -> None:
    codes = random_codes(7, 20)
    x = random_input(2, 3, 7)
    close(
        Kernels(compiled, level).linear(x.transpose(0, 1), codes),
        exact_linear(x, codes).transpose(0, 1),
    )
    assert Kernels(compiled, level).linear(x[:0], codes).shape == (0, 3, 20)
    empty = Kernels(compiled, level).conv2d(
        torch.empty(0, 7, 4, 4), codes, Window((1, 1), (1, 1), (0, 0), 1)
    )
    assert empty.shape == (0, 20, 4, 4)


@ON_EVERY_LEVEL
def test_weights_that_are_all_zero_leave_the_bias(level: str) -> None:
    codes = random_codes(9, 33)._replace(levels=torch.zeros(1, 4))
    out = Kernels(compiled, level).linear(random_input(5, 9), codes)
    assert torch.equal(out, codes.bias.expand(5, -1))


@ON_EVERY_LEVEL
def test_numbers_that_are_not_finite_stay_in_their_rows(level: str) -> None:
    """And spread over them as in torch: 0 x infinity is none either."""
    codes = random_codes(8, 20)._replace(levels=torch.tensor([[-1.0, 0.0, 1.0, 0.0]]))
    x = random_input(3, 8)
    x[1, 2], x[2, 5] = torch.inf, torch.nan
    exact = exact_linear(x, codes)
    out = Kernels(compiled, level).linear(x, codes)
    torch.testing.assert_close(out.double(), exact, equal_nan=True, rtol=1e-5, atol=2e-5)
    assert out[0].isfinite().all()
    assert out[2].isnan().all()


@pytest.fixture
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_threads")
def test_the_number_of_threads_changes_no_bit() -> None:
    runtime = Kernels(compiled)
    flat, deep = random_codes(50, 300, seed=1), random_codes(45, 48, groups=2, seed=2)
    x, images = random_input(3, 50), random_input(2, 10, 9, 9)
    window = Window((3, 3), (1, 1), (1, 1), 2)
    torch.set_num_threads(2)
    shared = runtime.linear(x, flat), runtime.conv2d(images, deep, window)
    torch.set_num_threads(1)
    assert torch.equal(shared[0], runtime.linear(x, flat))
    assert torch.equal(shared[1], runtime.conv2d(images, deep, window))


GOOD = random_codes(6, 20)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (
            GOOD._replace(words=GOOD.words[:1]),
            r"words is torch.int32 of shape \(1, 6\) on cpu, the layer",
        ),
        (
            GOOD._replace(words=GOOD.words[:, :5]),
            r"words is .* takes torch.int32 of shape \(2, 6\)",
        ),
        (GOOD._replace(words=GOOD.words.long()), "words is torch.int64"),
        (GOOD._replace(words=GOOD.words.T.contiguous().T), "words is not contiguous"),
        (GOOD._replace(levels=GOOD.levels[:, :3]), r"levels is torch.float32 of shape \(1, 3\)"),
        (GOOD._replace(scales=GOOD.scales[:, :19]), "scales is"),
        (GOOD._replace(bias=GOOD.bias.double()), "bias is torch.float64"),
        (GOOD._replace(bias=GOOD.bias[:0]), "0 filters of 6 inputs in 1 groups"),
    ],
)
def test_weights_that_do_not_fit_are_named(codes: Codes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Kernels(compiled).linear(random_input(2, 6), codes)


@pytest.mark.parametrize(
    ("shape", "window", "message"),
    [
        ((1, 6, 4, 4), Window((1, 1), (0, 1), (0, 0), 1), "no window of a convolution"),
        ((1, 6, 4, 4), Window((1, 1), (1, 1), (-1, 0), 1), "no window of a convolution"),
        ((1, 6, 4, 4), Window((1, 1), (1, 1), (0, 0), 0), "no window of a convolution"),
        ((1, 6, 4, 4), Window((6, 1), (1, 1), (0, 0), 1), "images are smaller"),
        ((1, 6, 4, 4), Window((2, 1), (1, 1), (0, 0), 1), "words is"),
        ((1, 7, 4, 4), Window((1, 1), (1, 1), (0, 0), 2), "7 channels do not make 2 groups"),
    ],
)
def test_windows_that_do_not_fit_are_named(
    shape: tuple[int, ...], window: Window, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Kernels(compiled).conv2d(random_input(*shape), GOOD, window)


def test_inputs_of_another_type_are_refused() -> None:
    with pytest.raises(ValueError, match=r"not torch\.float64 on cpu"):
        Kernels(compiled).linear(random_input(2, 6).double(), GOOD)
    with pytest.raises(ValueError, match=r"not torch\.float32 on meta"):
        Kernels(compiled).linear(random_input(2, 6).to("meta"), GOOD)


def test_a_level_beyond_the_processor_is_refused() -> None:
    class Old:
        ternary_level = staticmethod(lambda: 0)

    with pytest.raises(ValueError, match="level=avx2: this processor runs portable"):
        Kernels(Old(), "avx2")
    runtime = kernels()
    assert runtime is not None
    assert runtime.level == SUPPORTED[-1]
    assert list(LEVELS)[: len(SUPPORTED)] == SUPPORTED
