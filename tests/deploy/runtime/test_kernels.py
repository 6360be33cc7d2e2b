"""The C++ kernels against torch in float64, all that this processor supports."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.deploy.runtime.weights import (
    exact_conv2d,
    exact_linear,
    magnitude,
    magnitudes,
    random_codes,
    random_fused,
    random_input,
)
from ttq_repro.deploy.runtime import runtime
from ttq_repro.deploy.runtime.build import KERNELS, ROUNDING
from ttq_repro.deploy.runtime.codes import Codes, Fused, Window

RUNTIME = runtime()
if RUNTIME is None:
    pytest.skip("needs a C++ compiler", allow_module_level=True)
BEST = RUNTIME.kernel
linear, conv2d = torch.ops.ternary.linear, torch.ops.ternary.conv2d


@pytest.fixture(params=RUNTIME.supported)
def _kernel(request: pytest.FixtureRequest) -> Iterator[None]:
    RUNTIME.use(request.param)
    yield
    RUNTIME.use(BEST)


@pytest.fixture(params=[kernel for kernel in RUNTIME.supported if "amx" not in kernel])
def _plain_kernels(request: pytest.FixtureRequest) -> Iterator[None]:
    """The kernels for which saving multiplications pays."""
    RUNTIME.use(request.param)
    yield
    RUNTIME.use(BEST)


by_every_kernel = pytest.mark.usefixtures("_kernel")

sizes = st.integers(1, 3)
pairs = st.tuples(sizes, sizes)
# Whether there is a norm, a residual and a ReLU.
fusions = st.tuples(st.booleans(), st.booleans(), st.booleans())


def close(ours: Tensor, exact: Tensor, size: Tensor) -> None:
    """Check equality up to rounding, in sums of terms whose magnitudes add up to ``size``.

    The rounding is that of float32, of the three bfloat16 products that AMX computes in place of
    one in float32, or of a single bfloat16 product.
    """
    assert ours.shape == exact.shape
    error = (ours.double() - exact).abs() / size
    allowed = {"amx": 3 * 2**-16, "amx_one_pass": 1.01 * 2**-7}.get(
        RUNTIME.kernel, 8 * torch.finfo(torch.float32).eps
    )
    assert error.numel() == 0 or error.max() < allowed


@by_every_kernel
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.integers(1, 27),
    depth=st.integers(1, 130),
    filters=st.integers(1, 150),
    terms=st.integers(1, 3),
)
def test_linear(rows: int, depth: int, filters: int, terms: int) -> None:
    codes = random_codes(depth, filters, terms=terms)
    x = random_input(rows, depth)
    size = exact_linear(x.abs(), magnitudes(codes))
    close(linear(x, *codes), exact_linear(x, codes), size)


@by_every_kernel
@pytest.mark.parametrize(("rows", "depth"), [(70, 5000), (70, 9000), (600, 40)])
def test_linear_with_unpacked_weights(rows: int, depth: int) -> None:
    """As many rows as it takes, with all numbers of blocks whose weights fit into the cache."""
    codes = random_codes(depth, 70, terms=2)
    x = random_input(rows, depth)
    # The rounding of a sum grows with the number of terms.
    size = exact_linear(x.abs(), magnitudes(codes)) * 4
    close(linear(x, *codes), exact_linear(x, codes), size)


@by_every_kernel
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    images=sizes,
    # Those of Winograd convolutions are tested below.
    channels=st.integers(1, 17).filter(lambda channels: channels != 16),
    filters=st.integers(1, 40),
    side=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    kernel=pairs,
    stride=pairs,
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    groups=sizes,
    order=st.sampled_from(["contiguous", "channels_last", "sliced"]),
    fusion=fusions,
)
def test_conv2d(
    images: int,
    channels: int,
    filters: int,
    side: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    groups: int,
    order: str,
    fusion: tuple[bool, bool, bool],
) -> None:
    assume(all(s + 2 * p >= k for s, p, k in zip(side, padding, kernel, strict=True)))
    codes = random_codes(channels * kernel[0] * kernel[1], groups * filters, groups)
    window = Window(kernel, stride, padding, groups)
    x = random_input(images, groups * channels, *side)
    fused = random_fused(x, window, groups * filters, *fusion)
    exact = exact_conv2d(x, codes, window, fused)
    size = magnitude(x, codes, window, fused)
    if order == "channels_last":
        x = x.contiguous(memory_format=torch.channels_last)
        if fused.residual is not None:
            last = fused.residual.contiguous(memory_format=torch.channels_last)
            fused = fused._replace(residual=last)
    elif order == "sliced":
        x = torch.stack([x, x], 4)[..., 1]
    out = conv2d(x, *codes, *window.numbers, *fused)
    close(out, exact, size)
    assert out.is_contiguous(memory_format=torch.channels_last)


@by_every_kernel
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    images=sizes,
    channels=st.sampled_from([16, 48]),
    filters=st.integers(1, 70),
    side=st.tuples(st.integers(10, 20), st.integers(10, 20)),
    size=st.sampled_from([3, 5]),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    groups=sizes,
    terms=sizes,
    fusion=fusions,
)
def test_conv2d_by_minimal_filtering(
    images: int,
    channels: int,
    filters: int,
    side: tuple[int, int],
    size: int,
    padding: tuple[int, int],
    groups: int,
    terms: int,
    fusion: tuple[bool, bool, bool],
) -> None:
    codes = random_codes(channels * size * size, groups * filters, groups, terms)
    window = Window((size, size), (1, 1), padding, groups)
    x = random_input(images, groups * channels, *side)
    fused = random_fused(x, window, groups * filters, *fusion)
    exact = exact_conv2d(x, codes, window, fused)
    # An error depends on all inputs that are transformed together, not on those of one output.
    largest = magnitude(x, codes, window, fused).max()
    # The larger the windows, the larger the numbers that cancel.
    close(conv2d(x, *codes, *window.numbers, *fused), exact, {3: 1, 5: 2}[size] * largest)


@by_every_kernel
@pytest.mark.parametrize(
    ("images", "channels", "side", "size", "groups"),
    [(40, 9, 24, 3, 1), (12, 32, 28, 3, 1), (6, 32, 21, 5, 2)],
)
def test_conv2d_of_a_few_images_at_a_time(
    images: int, channels: int, side: int, size: int, groups: int
) -> None:
    """More than the cache holds when padded, so that inputs, outputs and residuals are divided."""
    codes = random_codes(channels * size**2, groups * 20, groups)
    window = Window((size, size), (1, 1), (1, 1), groups)
    x = random_input(images, groups * channels, side, side)
    fused = random_fused(x, window, groups * 20, True, True, True)
    largest = magnitude(x, codes, window, fused).max()
    exact = exact_conv2d(x, codes, window, fused)
    close(conv2d(x, *codes, *window.numbers, *fused), exact, 2 * largest)


@pytest.mark.usefixtures("_plain_kernels")
def test_a_transformed_window_shares_what_is_not_finite() -> None:
    """Only kernels that save multiplications show this; outputs far from it do not change."""
    codes = random_codes(16 * 9, 20)
    x = random_input(1, 16, 12, 12)
    x[0, 3, 0, 0] = torch.inf
    out = conv2d(x, *codes, *Window((3, 3), (1, 1), (1, 1), 1).numbers)
    assert not out[:, :, :4, :4].isfinite().any()
    assert out[:, :, 4:].isfinite().all()


@by_every_kernel
def test_leading_dimensions_and_empty_batches_of_linear() -> None:
    codes = random_codes(7, 20)
    x = random_input(2, 3, 7).transpose(0, 1)
    size = exact_linear(x.abs(), magnitudes(codes))
    close(linear(x, *codes), exact_linear(x, codes), size)
    assert linear(x[:0], *codes).shape == (0, 2, 20)
    empty = conv2d(torch.empty(0, 7, 4, 4), *codes, *Window((1, 1), (1, 1), (0, 0), 1).numbers)
    assert empty.shape == (0, 20, 4, 4)


@by_every_kernel
def test_weights_that_are_all_zero_leave_the_bias() -> None:
    codes = random_codes(9, 33)._replace(levels=torch.zeros(1, 4))
    out = linear(random_input(5, 9), *codes)
    assert torch.equal(out, codes.bias.expand(5, -1))


@by_every_kernel
def test_large_numbers_stay_finite() -> None:
    """The bfloat16 number nearest to this one is infinite."""
    codes = Codes(
        words=torch.arange(4, dtype=torch.int32)[None, :1],
        levels=torch.tensor([[-1.0, 0.0, 1.0, 0.5]]),
        scales=torch.full((1, 16), 0.25),
        bias=torch.zeros(16),
    )
    x = torch.full((64, 1), 3.4e38)
    out = linear(x, *codes)
    torch.testing.assert_close(out.double(), exact_linear(x, codes), rtol=2**-7, atol=0)


@by_every_kernel
def test_numbers_that_are_not_finite_stay_in_their_rows() -> None:
    """Within their rows they spread as in torch, because 0 x infinity is not finite either."""
    codes = random_codes(8, 20)._replace(levels=torch.tensor([[-1.0, 0.0, 1.0, 0.0]]))
    x = random_input(3, 8)
    x[1, 2], x[2, 5] = torch.inf, torch.nan
    exact = exact_linear(x, codes)
    out = linear(x, *codes)
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
    flat, deep = random_codes(50, 300, seed=1), random_codes(45, 48, groups=2, seed=2)
    wide = random_codes(16 * 9, 48, seed=3)
    x, images = random_input(3, 50), random_input(2, 10, 9, 9)
    many = random_input(5, 16, 30, 30)
    window, one, strided = (
        Window((3, 3), (stride, stride), (1, 1), groups)
        for groups, stride in ((2, 1), (1, 1), (1, 2))
    )

    def outputs() -> list[Tensor]:
        return [
            linear(x, *flat),
            conv2d(images, *deep, *window.numbers),
            *(
                conv2d(few, *wide, *how.numbers)
                for how in (one, strided)
                for few in (many, many[:1])
            ),
        ]

    torch.set_num_threads(1)
    alone = outputs()
    for threads in (2, 3, 16):
        torch.set_num_threads(threads)
        assert all(map(torch.equal, outputs(), alone))


def test_a_call_is_computed_by_one_kernel() -> None:
    """Even if other threads switch kernels meanwhile, also between images of the batch."""
    kernels = ["portable", BEST]
    codes, x = random_codes(9 * 9, 20), random_input(60, 9, 40, 40)
    window = Window((3, 3), (2, 2), (1, 1), 1)
    expected = []
    for kernel in kernels:
        RUNTIME.use(kernel)
        expected.append(conv2d(x, *codes, *window.numbers))
    ended = threading.Event()

    def switch() -> None:
        while not ended.is_set():
            for kernel in kernels:
                RUNTIME.use(kernel)

    thread = threading.Thread(target=switch)
    thread.start()
    try:
        for _ in range(30):
            out = conv2d(x, *codes, *window.numbers)
            assert any(torch.equal(out, pure) for pure in expected)
    finally:
        ended.set()
        thread.join()
        RUNTIME.use(BEST)


GOOD = random_codes(6, 20)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (
            GOOD._replace(words=GOOD.words[:1]),
            r"words of shape \(1, 6\) .* int32 of shape \(2, 6\)",
        ),
        (GOOD._replace(words=GOOD.words[:, :5]), r"words of shape \(2, 5\)"),
        (GOOD._replace(words=GOOD.words.long()), "words of .* should be contiguous int32"),
        (GOOD._replace(words=GOOD.words.T.contiguous().T), "words of .* should be contiguous"),
        (GOOD._replace(levels=GOOD.levels[:, :3].clone()), r"levels of shape \(1, 3\)"),
        (GOOD._replace(levels=GOOD.levels[0]), "bias and levels have 1 and 1 dimensions"),
        (GOOD._replace(scales=GOOD.scales[:, :19]), "scales of shape"),
        (GOOD._replace(bias=GOOD.bias.double()), "bias of .* float32"),
        (GOOD._replace(bias=GOOD.bias[:0]), "0 filters of 6 inputs and 1 terms in 1 groups"),
        (
            GOOD._replace(levels=GOOD.levels[:0], scales=GOOD.scales[:0]),
            "20 filters of 6 inputs and 0 terms",
        ),
    ],
)
def test_weights_that_do_not_fit_are_named(codes: Codes, message: str) -> None:
    with pytest.raises(RuntimeError, match=f"ternary: {message}"):
        linear(random_input(2, 6), *codes)


@pytest.mark.parametrize(
    ("shape", "window", "message"),
    [
        ((1, 6, 4, 4), ((1, 1), (0, 1), (0, 0), 1), "a window of 1 at stride 0 does not fit"),
        ((1, 6, 4, 4), ((1, 1), (1, 1), (-1, 0), 1), "a window of 1 at stride 1 does not fit"),
        ((1, 6, 4, 4), ((1, 1), (1, 1), (2**62, 0), 1), "a window of 1 at stride 1 does not fit"),
        ((1, 6, 4, 4), ((6, 1), (1, 1), (0, 0), 1), "a window of 6 at stride 1 does not fit 4"),
        ((1, 6, 4, 4), ((1, 1), (1, 1), (0, 0), 0), "6 channels cannot form 0 groups"),
        ((1, 7, 4, 4), ((1, 1), (1, 1), (0, 0), 2), "7 channels cannot form 2 groups"),
        ((1, 6, 4, 4), ((2, 1), (1, 1), (0, 0), 1), r"words of shape \(2, 6\) .* \(2, 12\)"),
        ((6, 4, 4), ((1, 1), (1, 1), (0, 0), 1), r"the input has shape \(6, 4, 4\)"),
    ],
)
def test_windows_that_do_not_fit_are_named(
    shape: tuple[int, ...], window: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(RuntimeError, match=f"ternary: {message}"):
        conv2d(random_input(*shape), *GOOD, *Window(*window).numbers)


@pytest.mark.parametrize(
    ("shape", "padding", "message"),
    [
        ((1, 2**47 + 6, 1, 1), 2**16, "an input of shape .* is too large"),
        ((2**50, 6, 1, 1), 2**5, "an input of shape .* is too large"),
        ((1, 6, 2**31, 1), 1, "a window of 1 at stride 1 does not fit"),
        ((2**31 + 1, 6, 1, 1), 0, "an input of shape .* is too large"),
    ],
)
def test_sizes_that_overflow_are_named(shape: tuple[int, ...], padding: int, message: str) -> None:
    """An expanded input takes no memory, so that these sizes can be tested."""
    x = torch.zeros(1).expand(shape)
    with pytest.raises(RuntimeError, match=f"ternary: {message}"):
        conv2d(x, *GOOD, *Window((1, 1), (1, 1), (padding, 0), 1).numbers)


def test_too_many_rows_are_named() -> None:
    x = torch.zeros(1).expand(2**31 + 1, 6)
    with pytest.raises(RuntimeError, match=r"ternary: an input of shape \(2147483649, 6\) is too"):
        linear(x, *GOOD)


@pytest.mark.parametrize(
    ("fused", "message"),
    [
        (Fused(norm=torch.zeros(2, 5)), r"norm of shape \(2, 5\) .* float32 of shape \(2, 6\)"),
        (Fused(norm=torch.zeros(2, 6).double()), "norm of .* float32"),
        (
            Fused(residual=torch.zeros(1, 20, 4, 1)),
            "the residual has shape .*, the output",
        ),
        (Fused(residual=torch.zeros(1, 20, 4, 4).bfloat16()), "the residual should be float32"),
    ],
)
def test_what_cannot_be_fused_is_named(fused: Fused, message: str) -> None:
    window = Window((1, 1), (1, 1), (0, 0), 1)
    with pytest.raises(RuntimeError, match=f"ternary: {message}"):
        conv2d(random_input(1, 6, 4, 4), *GOOD, *window.numbers, *fused)


@by_every_kernel
@pytest.mark.parametrize("size", [1, 3])
def test_fused_operations_keep_nan(size: int) -> None:
    """Also by minimal filtering."""
    codes, x = random_codes(16 * size**2, 20), torch.full((1, 16, 12, 12), torch.nan)
    window = Window((size, size), (1, 1), (size // 2, size // 2), 1)
    fused = random_fused(x, window, 20, True, True, True)
    assert conv2d(x, *codes, *window.numbers, *fused).isnan().all()


def test_inputs_of_another_type_are_refused() -> None:
    with pytest.raises(RuntimeError, match="the input should be float32 on the CPU"):
        linear(random_input(2, 6).double(), *GOOD)
    with pytest.raises(RuntimeError, match=r"the input has shape \(\)"):
        linear(torch.tensor(1.0), *GOOD)


def test_a_kernel_beyond_the_processor_is_refused() -> None:
    exact = [kernel for kernel in RUNTIME.supported if kernel in KERNELS]
    assert list(KERNELS)[: len(exact)] == exact
    assert exact[-1] == BEST
    assert set(RUNTIME.supported) - set(exact) == {
        kernel for kernel, like in ROUNDING.items() if like in exact
    }
    with pytest.raises(ValueError, match="kernel=sse: this processor supports portable"):
        RUNTIME.use("sse")
    for number in (-1, len(KERNELS) + len(ROUNDING)):
        with pytest.raises(RuntimeError, match=f"ternary: this processor has no kernel {number}"):
            torch.ops.ternary.use(number)
