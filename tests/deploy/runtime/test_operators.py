"""The operators as torch sees them."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.deploy.networks import images, packed, relative_difference, trained
from tests.deploy.runtime.weights import (
    exact_conv2d,
    exact_linear,
    random_codes,
    random_fused,
    random_input,
)
from ttq_repro.deploy.loading import Weights, build
from ttq_repro.deploy.runtime import runtime
from ttq_repro.deploy.runtime.codes import Fused, Window, dense_conv2d, dense_linear
from ttq_repro.files import ROOT

LINEAR = random_codes(9, 20, terms=2)
CONV = random_codes(27, 20, groups=2)
WINDOW = Window((3, 3), (2, 1), (1, 0), 2)


@pytest.mark.skipif(runtime() is None, reason="needs a C++ compiler")
def test_opcheck() -> None:
    torch.library.opcheck(torch.ops.ternary.linear, (random_input(2, 3, 9), *LINEAR))
    x = random_input(2, 6, 5, 4)
    for order in (torch.contiguous_format, torch.channels_last):
        for all_or_none in (True, False):
            fused = random_fused(x, WINDOW, 20, *[all_or_none] * 3)
            ordered = x.contiguous(memory_format=order)
            torch.library.opcheck(
                torch.ops.ternary.conv2d, (ordered, *CONV, *WINDOW.numbers, *fused)
            )


@pytest.mark.parametrize(
    ("shape", "window"),
    [
        ((2, 7, 5, 4), WINDOW),
        ((2, 6, 5), WINDOW),
        ((2, 8, 5, 4), WINDOW),
        ((2, 6, 5, 2), WINDOW),
        ((2, 6, 5, 4), WINDOW._replace(stride=(0, 1))),
        ((2, 6, 5, 4), WINDOW._replace(padding=(-1, 0))),
        ((2, 6, 5, 4), WINDOW._replace(groups=3)),
    ],
)
def test_what_does_not_fit_is_found_without_data(shape: tuple[int, ...], window: Window) -> None:
    """torch.compile and torch.export trace networks that way."""
    on_meta = [tensor.to("meta") for tensor in CONV]
    with pytest.raises((ValueError, RuntimeError), match=r"do(es)? not fit"):
        torch.ops.ternary.conv2d(torch.empty(shape, device="meta"), *on_meta, *window.numbers)
    with pytest.raises((ValueError, RuntimeError), match="do not fit"):
        torch.ops.ternary.linear(torch.empty(8, device="meta"), *(t.to("meta") for t in LINEAR))


@pytest.mark.parametrize(
    ("fused", "message"),
    [
        (Fused(norm=torch.empty(2, 5, device="meta")), r"norm has shape \(2, 5\), not \(2, 6\)"),
        (Fused(residual=torch.empty(2, 20, 3, 1, device="meta")), "residual has shape"),
    ],
)
def test_what_cannot_be_fused_is_found_without_data(fused: Fused, message: str) -> None:
    on_meta = [tensor.to("meta") for tensor in CONV]
    with pytest.raises((ValueError, RuntimeError), match=message):
        torch.ops.ternary.conv2d(
            torch.empty(2, 6, 5, 4, device="meta"), *on_meta, *WINDOW.numbers, *fused
        )


def test_torch_s_own_way_to_compute_them() -> None:
    """The fallback for everything but float32 on a CPU."""
    x, picture = random_input(2, 9), random_input(2, 6, 5, 4)
    close = {"rtol": 1e-5, "atol": 1e-5}
    out = dense_linear(x, LINEAR)
    torch.testing.assert_close(out.double(), exact_linear(x, LINEAR), **close)
    for all_or_none in (True, False):
        fused = random_fused(picture, WINDOW, 20, *[all_or_none] * 3)
        out = dense_conv2d(picture, CONV, WINDOW, fused)
        exact = exact_conv2d(picture, CONV, WINDOW, fused)
        torch.testing.assert_close(out.double(), exact, **close)
        assert out.is_contiguous(memory_format=torch.channels_last)


def test_a_norm_of_another_type_leaves_the_type_of_the_input() -> None:
    """As under autocast."""
    fused = Fused(norm=torch.ones(2, 3))
    assert fused.before(random_input(1, 3, 2, 2).bfloat16()).dtype == torch.bfloat16


class Storages(TorchDispatchMode):
    """Records the bytes of every storage that operators return, by address."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[int, int] = {}

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        out = function(*args, **(kwargs or {}))
        for tensor in (leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor)):
            storage = tensor.untyped_storage()
            self.sizes[storage.data_ptr()] = storage.nbytes()
        return out


def test_unpacking_holds_little_beside_the_weights() -> None:
    codes = random_codes(50, 800, groups=2, terms=2)
    with Storages() as made:
        weights = codes.unpacked(2)
    largest, second, *_ = sorted(made.sizes.values(), reverse=True)
    assert largest == weights.nbytes
    assert second <= max(weights.nbytes / 16, codes.words.nbytes)


def test_a_gradient_through_packed_layers_is_an_error() -> None:
    made = packed(trained())
    x = images().requires_grad_()
    with pytest.raises(RuntimeError, match=r"for inference: .* have no derivative"):
        build(made, "packed")(x).sum().backward()


@pytest.mark.parametrize(
    ("weights", "dtype"), [("unpacked", torch.float32), ("packed", torch.float64)]
)
def test_layers_that_torch_computes_have_gradients(weights: Weights, dtype: torch.dtype) -> None:
    x = images().to(dtype).requires_grad_()
    build(packed(trained()), weights).to(dtype)(x).sum().backward()
    assert x.grad is not None
    assert x.grad.any()


#: A layer that unpacks 256 KiB of weights, in a process without a free block of that size.
PROGRAM = """
import resource
import torch
from tests.deploy.runtime.weights import random_codes, random_input
from ttq_repro.deploy.runtime import runtime

assert runtime()
torch.set_num_threads(1)
codes, x = random_codes(4096, 16), random_input(128, 4096)
torch.ops.ternary.linear(x[:1], *codes)
with open("/proc/self/statm") as sizes:
    held = int(sizes.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held, held))
rest = []
try:
    while True:
        rest.append(bytearray(2**16))
except MemoryError:
    pass
try:
    torch.ops.ternary.linear(x, *codes)
except (RuntimeError, MemoryError) as error:  # The latter in torch 2.11.
    del rest
    print(error)
"""


@pytest.mark.skipif(runtime() is None, reason="needs a C++ compiler")
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_no_memory_is_an_error_and_not_the_end() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "bad_alloc" in done.stdout


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_a_packed_network_compiles_whole(backend: str) -> None:
    torch._dynamo.reset()
    network = build(packed(trained("postactivation"), "postactivation", fold=True), "packed")
    with torch.inference_mode():
        expected = network(images())
        compiled = torch.compile(network, backend=backend, fullgraph=True)
        assert relative_difference(compiled(images()), expected) < 2e-6
