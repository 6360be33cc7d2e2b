"""A network replayed as one CUDA graph, or itself if there is no GPU."""

from __future__ import annotations

from unittest.mock import MagicMock

import pytest
import torch
from torch import Tensor

from tests.deploy.networks import images, packed, relative_difference, trained
from ttq_repro.cuda_graph import capture
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
    with pytest.raises(ValueError, match=r"recorded for .* cuda:0, got \(2, 3, 32, 32\) .* cuda:0"):
        replay(images(2).cuda())


@pytest.mark.parametrize(
    ("other", "got"),
    [
        (images(1), r"\(1, 3, 32, 32\) torch\.float32 on cpu"),
        (images(2).double(), r"\(2, 3, 32, 32\) torch\.float64 on cpu"),
        (images(2).byte(), r"\(2, 3, 32, 32\) torch\.uint8 on cpu"),
        (images(2).to("meta"), r"\(2, 3, 32, 32\) torch\.float32 on meta"),
    ],
)
def test_other_inputs_are_refused_rather_than_converted(
    other: Tensor, got: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "cuda", MagicMock())
    replay = capture(torch.sum, images(2))
    replay(images(2))
    with pytest.raises(ValueError, match=rf"for \(2, 3, 32, 32\) torch\.float32 on cpu, got {got}"):
        replay(other)
