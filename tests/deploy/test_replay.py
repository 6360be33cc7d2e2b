"""A network replayed as one CUDA graph, or itself if there is no GPU."""

from __future__ import annotations

import pytest
import torch

from tests.deploy.networks import images, packed, relative_difference, trained
from ttq_repro.deploy import replayed
from ttq_repro.deploy.loading import build


def test_without_a_gpu_it_is_the_network_itself() -> None:
    network = build(packed(trained()))
    assert replayed(network, images()) is network


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("count", [1, 16])
def test_a_graph_computes_the_same_on_other_images(count: int) -> None:
    network = build(packed(trained()), "packed").cuda()
    replay = replayed(network, torch.zeros_like(images(count)).cuda())
    first = replay(images(count).cuda())
    with torch.inference_mode():
        expected = network(images(count).cuda())
    assert relative_difference(first, expected) < 1e-5
    replay(-images(count).cuda())
    assert relative_difference(first, expected) < 1e-5, "overwritten by the next call"
    with pytest.raises(ValueError, match=r"images must have shape .*, got \(2, 3, 32, 32\)"):
        replay(images(2).cuda())
