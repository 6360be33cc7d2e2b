"""The operators as torch sees them."""

from __future__ import annotations

import pytest
import torch

from tests.deploy.networks import images, packed, relative_difference, trained
from tests.deploy.runtime.weights import exact_conv2d, exact_linear, random_codes, random_input
from ttq_repro.deploy.load import build
from ttq_repro.deploy.runtime import operators
from ttq_repro.deploy.runtime.kernels import Window

LINEAR = random_codes(9, 20, terms=2)
CONV = random_codes(27, 20, groups=2)
WINDOW = Window((3, 3), (2, 1), (1, 0), 2)


@pytest.mark.parametrize("runtime", [True, False])
def test_torch_s_own_check_of_operators(runtime: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not runtime:
        monkeypatch.setattr(operators, "kernels", lambda: None)
    torch.library.opcheck(torch.ops.ternary.linear, (random_input(2, 3, 9), *LINEAR))
    x = random_input(2, 6, 5, 4)
    for order in (torch.contiguous_format, torch.channels_last):
        torch.library.opcheck(
            torch.ops.ternary.conv2d, (x.contiguous(memory_format=order), *CONV, *WINDOW)
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_runtime_and_in_other_precision_torch_computes(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    if dtype == torch.float32:
        monkeypatch.setattr(operators, "kernels", lambda: None)
    x, picture = random_input(2, 9).to(dtype), random_input(2, 6, 5, 4).to(dtype)
    close = {"rtol": 1e-5, "atol": 1e-5}
    out = torch.ops.ternary.linear(x, *LINEAR)
    assert out.dtype == dtype
    torch.testing.assert_close(out.double(), exact_linear(x, LINEAR), **close)
    out = torch.ops.ternary.conv2d(picture, *CONV, *WINDOW)
    assert out.dtype == dtype
    torch.testing.assert_close(out.double(), exact_conv2d(picture, CONV, WINDOW), **close)


def test_sizes_that_do_not_fit_are_one_error() -> None:
    with pytest.raises(ValueError, match=r"words is torch.int32 of shape \(2, 9\)"):
        torch.ops.ternary.linear(random_input(2, 8), *LINEAR)
    with pytest.raises(ValueError, match="images are smaller than the window"):
        torch.ops.ternary.conv2d(random_input(2, 6, 0, 4), *CONV, *WINDOW)


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_a_packed_network_compiles_whole(backend: str) -> None:
    torch._dynamo.reset()
    network = build(packed(trained("postactivation"), "postactivation", fold=True), "packed")
    with torch.inference_mode():
        expected = network(images())
        compiled = torch.compile(network, backend=backend, fullgraph=True)
        assert relative_difference(compiled(images()), expected) < 2e-6
