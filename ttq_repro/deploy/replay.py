"""A loaded network as one CUDA graph."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ttq_repro.cuda_graph import capture


@torch.inference_mode()
def replayed(network: nn.Module, example: Tensor) -> Callable[[Tensor], Tensor]:
    """The network for images of one shape, without the cost of launching its kernels one by one.

    On a GPU the kernels are recorded, and each call launches them all at once. They always use the
    same memory, so the network must neither change nor move, and it serves one caller at a time.
    Elsewhere, returns the network itself.

    Args:
        network: as :func:`ttq_repro.deploy.load` returns it, on the device of ``example``.
        example: images (batch, 3, H, W) with any values.

    Returns:
        A function from images to logits (batch, classes). On a GPU it raises ValueError for images
        whose shape, type or device differs from the example's.
    """
    if not example.is_cuda:
        return network
    device = example.device
    with torch.cuda.device(device):
        graph = capture(network, example)

    @torch.inference_mode()
    def replay(given: Tensor) -> Tensor:
        with torch.cuda.device(device):
            return graph(given).clone()

    return replay
