"""A loaded network as one CUDA graph. Not yet measured."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

#: Calls before the one that is recorded, for what they leave behind: compiled kernels, chosen
#: algorithms, and weights that are unpacked once.
WARM_UP_CALLS = 3


@torch.inference_mode()
def replayed(network: nn.Module, example: Tensor) -> Callable[[Tensor], Tensor]:
    """The network for images of one shape, without the cost of launching its kernels one by one.

    On a GPU they are recorded, and each call launches them all at once: on the same memory, so that
    the network must stay as and where it is. Elsewhere this is the network itself.

    Args:
        network: as :func:`ttq_repro.deploy.load` returns it, on the device of ``example``.
        example: images (batch, 3, H, W), of any values.

    Returns:
        Images to logits (batch, classes); a ValueError where they are not shaped like the example.
    """
    if not example.is_cuda:
        return network
    images = example.clone()
    with torch.cuda.device_of(example):
        stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_CALLS):
                network(images)
            with torch.cuda.graph(graph, stream=stream):
                logits = network(images)
        torch.cuda.current_stream().wait_stream(stream)

    @torch.inference_mode()
    def replay(given: Tensor) -> Tensor:
        if given.shape != images.shape:
            raise ValueError(f"images of shape {tuple(given.shape)}, not {tuple(images.shape)}")
        with torch.cuda.device_of(images):
            images.copy_(given)
            graph.replay()
            return logits.clone()

    return replay
