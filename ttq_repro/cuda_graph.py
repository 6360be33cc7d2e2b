"""Capturing the kernels that a function launches on a GPU as one CUDA graph."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

#: Calls before the recorded one, for their lasting effects: compiled kernels, chosen algorithms,
#: allocated workspaces, weights that are unpacked once.
WARM_UP_CALLS = 3

Function = Callable[..., Tensor]


def capture(function: Function, *example: Tensor) -> Function:
    """Record the kernels that ``function`` launches for inputs shaped like the example.

    Calling the returned function launches them again, all at once. The tensor it returns is
    overwritten by its next call, so it serves one caller at a time. It raises ValueError for inputs
    whose shape, type or device differs from the example's.

    Raises:
        RuntimeError: the function does something that a CUDA graph cannot record.
    """
    inputs = [given.clone() for given in example]
    stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP_CALLS):
            function(*inputs)
        # By default, a loader's thread that pins memory meanwhile would spoil the recording.
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            result = function(*inputs)
    torch.cuda.current_stream().wait_stream(stream)

    def replay(*given: Tensor) -> Tensor:
        for kept, new in zip(inputs, given, strict=True):
            # Copying would convert it.
            if (new.shape, new.dtype, new.device) != (kept.shape, kept.dtype, kept.device):
                raise ValueError(f"recorded for {_told(kept)}, got {_told(new)}")
            kept.copy_(new)
        graph.replay()
        return result

    return replay


def _told(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {tensor.dtype} on {tensor.device}"
