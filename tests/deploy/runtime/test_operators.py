"""The operators as torch sees them."""

from __future__ import annotations

import pytest
import torch

from tests.deploy.networks import images, packed, relative_difference, trained
from tests.deploy.runtime.weights import exact_conv2d, exact_linear, random_codes, random_input
from ttq_repro.deploy.load import build
from ttq_repro.deploy.runtime import runtime
from ttq_repro.deploy.runtime.codes import Window, dense_conv2d, dense_linear

LINEAR = random_codes(9, 20, terms=2)
CONV = random_codes(27, 20, groups=2)
WINDOW = Window((3, 3), (2, 1), (1, 0), 2)


@pytest.mark.skipif(runtime() is None, reason="needs a C++ compiler")
def test_opcheck() -> None:
    torch.library.opcheck(torch.ops.ternary.linear, (random_input(2, 3, 9), *LINEAR))
    x = random_input(2, 6, 5, 4)
    for order in (torch.contiguous_format, torch.channels_last):
        torch.library.opcheck(
            torch.ops.ternary.conv2d, (x.contiguous(memory_format=order), *CONV, *WINDOW)
        )


def test_torch_s_own_way_to_compute_them() -> None:
    """What everything but float32 on a CPU takes."""
    x, picture = random_input(2, 9), random_input(2, 6, 5, 4)
    close = {"rtol": 1e-5, "atol": 1e-5}
    out = dense_linear(x, LINEAR)
    torch.testing.assert_close(out.double(), exact_linear(x, LINEAR), **close)
    out = dense_conv2d(picture, CONV, WINDOW)
    torch.testing.assert_close(out.double(), exact_conv2d(picture, CONV, WINDOW), **close)
    assert out.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_a_packed_network_compiles_whole(backend: str) -> None:
    torch._dynamo.reset()
    network = build(packed(trained("postactivation"), "postactivation", fold=True), "packed")
    with torch.inference_mode():
        expected = network(images())
        compiled = torch.compile(network, backend=backend, fullgraph=True)
        assert relative_difference(compiled(images()), expected) < 2e-6
