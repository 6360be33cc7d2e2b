"""torch.compile, with eager execution as the fallback."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._dynamo import lookup_backend
from torch._functorch import config as functorch_config
from torch._inductor.runtime.cache_dir_utils import cache_dir

from ttq_repro.errors import headline

#: Options of inductor, by device. A quantizer runs the same short kernels, microseconds each, for
#: every layer; on a GPU, those of several layers are combined into one.
OPTIONS: dict[str, dict[str, Any]] = {"cpu": {}, "cuda": {"combo_kernels": True}}
#: Steps from which compiling saves time. Compiling ResNet-20 takes about half a minute for a CPU
#: and 45 s to 75 s for a GPU, where it saves 0.8 ms per step.
COMPILE_FROM_STEPS = {"cpu": 2000, "cuda": 60_000}
#: What the dynamic linker says about a library that is cut off.
INCOMPLETE = re.compile(r"(/.+\.so): file too short")


def is_compiled(trainer: dict[str, Any], steps: float, device: torch.device) -> bool:
    """Whether a run is compiled: by default, if it is long enough to recover the compile time.

    Args:
        trainer: a ``configs/trainer`` node. steps: training steps of the run.
    """
    if trainer["plain"]:
        return False
    asked: bool | str = trainer["compile"]
    return steps >= COMPILE_FROM_STEPS[device.type] if isinstance(asked, str) else asked


class Compilation:
    """Compiles a network with inductor; parts that fail to compile run eagerly.

    Compiling can fail for reasons unrelated to the network: no C++ compiler, no disk space, a bug
    in one version of torch. None of them should end a run.

    Args:
        device: where the network will be.
        warn: called with the first failure only.
    """

    def __init__(self, device: torch.device, warn: Callable[[str], Any]) -> None:
        self._options = OPTIONS[device.type]
        self._warn = warn
        #: The first failure, in one line; None if there was none.
        self.failure: str | None = None

    def apply(self, network: nn.Module) -> None:
        """Have the network compiled at its first call; the keys of its state dict do not change."""
        # Dynamo would use what it compiles for the short last batch of the first epoch for all
        # batches after it. A resumed run, which begins without, could then round differently.
        network.compile(backend=self._compile, dynamic=False)

    def _compile(self, graph: fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        inductor: Callable[..., Any] = lookup_backend("inductor")
        try:
            # By default the backward pass is compiled at its first use, outside this try block.
            with functorch_config.patch(force_non_lazy_backward_lowering=True):
                return inductor(graph, inputs, config_patches=self._options)
        except Exception as error:
            if _removed_incomplete(error):
                return self._compile(graph, inputs)
            if self.failure is None:
                told = headline(error, with_class=True)
                self.failure = f"compiling failed, the network runs uncompiled: {told}"
                self._warn(self.failure)
            return graph.forward


def _removed_incomplete(error: Exception) -> bool:
    """Whether compiling failed because of an incomplete library in the cache, now removed.

    A compiler that was killed leaves one; inductor would try to load it forever.
    """
    found = INCOMPLETE.search(str(error))
    if found is None:
        return False
    library = Path(found[1])
    if not library.is_relative_to(cache_dir()) or not library.is_file():
        return False
    library.unlink()
    return True


def forget_compiled() -> None:
    """Drop everything compiled so far in this process.

    Dynamo compiles the code of a class for a few networks and batch sizes only; after that, it
    silently runs it eagerly. Call this when done with a network, to make room for the next.
    """
    torch.compiler.reset()
