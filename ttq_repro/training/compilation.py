"""torch.compile, and eager execution where it fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._dynamo import lookup_backend
from torch._functorch import config as functorch_config

from ttq_repro.checks import headline

#: Inductor's, by device. A quantizer computes the same for every layer, in kernels of microseconds:
#: a GPU is to run those of several layers as one.
OPTIONS: dict[str, dict[str, Any]] = {"cpu": {}, "cuda": {"combo_kernels": True}}
#: Compiling ResNet-20 takes about half a minute, with a GPU 45 s to 75 s; shorter runs never win it
#: back. A GPU wins 0.8 ms a step.
COMPILE_FROM_STEPS = {"cpu": 2000, "cuda": 60_000}


def is_compiled(trainer: dict[str, Any], steps: float, device: torch.device) -> bool:
    """Whether a run is, by default if it wins back the time that compiling takes.

    Args:
        trainer: a ``configs/trainer`` node. steps: training steps of the run.
    """
    if trainer["plain"]:
        return False
    asked: bool | str = trainer["compile"]
    return steps >= COMPILE_FROM_STEPS[device.type] if isinstance(asked, str) else asked


class Compilation:
    """Compiles a network by inductor; a part that does not compile runs as it is.

    Compiling fails for reasons that have nothing to do with the network: no C++ compiler, no room
    for its files, a kernel that one version of torch gets wrong. None of them is worth a run.

    Args:
        device: where the network will be.
        warn: told of a failure, once.
    """

    def __init__(self, device: torch.device, warn: Callable[[str], Any]) -> None:
        self._options = OPTIONS[device.type]
        self._warn = warn
        #: What went wrong first, in a line; None while nothing has.
        self.failure: str | None = None

    def apply(self, network: nn.Module) -> None:
        """Have the network compiled when it is first called; the keys of its state stay."""
        network.compile(backend=self._compile)

    def _compile(self, graph: fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        inductor: Callable[..., Any] = lookup_backend("inductor")
        try:
            # By default a backward pass is compiled when it is first needed, outside of this.
            with functorch_config.patch(force_non_lazy_backward_lowering=True):
                return inductor(graph, inputs, config_patches=self._options)
        except Exception as error:
            if self.failure is None:
                told = headline(error, of_any_kind=True)
                self.failure = f"compiling failed, the network runs uncompiled: {told}"
                self._warn(self.failure)
            return graph.forward


def forget_compiled() -> None:
    """Drop what was compiled so far in this process.

    Dynamo compiles a class's code for a few networks and batch sizes, and silently runs it as it is
    from then on: who is done with a network makes room for the next.
    """
    torch.compiler.reset()
