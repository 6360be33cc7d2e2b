"""Training on a GPU without launching its kernels one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ttq_repro.checks import headline
from ttq_repro.cuda_graph import Function, capture
from ttq_repro.data.source import Batch
from ttq_repro.quantizers import Quantizer
from ttq_repro.training.module import Classifier


def classifier(
    *arguments: Any, device: torch.device, replayed: bool, warn: Callable[[str], Any]
) -> Classifier:
    """The LightningModule that is fastest on a device.

    Args:
        arguments: those of :class:`Classifier`.
        replayed: whether its passes may be replayed as a graph, where there is a GPU.
        warn: told of what cannot be had there.
    """
    if device.type == "cuda" and replayed:
        return GraphedClassifier(*arguments, warn=warn)
    return Classifier(*arguments)


class GraphedClassifier(Classifier):
    """Replays the forward and the backward pass of a whole batch as one CUDA graph.

    A step of a small network is hundreds of kernels of a few microseconds, less than it takes
    Python to launch them. The optimizer stays outside, where Lightning and schedules know it: for
    all parameters together it is a few kernels. Evaluation is replayed as well. Only the training
    batch that ends an epoch, of another size, is launched as usual. Evaluation runs uncompiled.

    Quantizers that do something at an epoch's start get new graphs after it: a graph knows nothing
    of branches in Python. What waits for the GPU, for the value of a tensor say, cannot be
    recorded; all kernels are then launched as usual.

    Args:
        arguments: those of :class:`Classifier`.
        warn: told if there is no graph, and why.
    """

    def __init__(self, *arguments: Any, warn: Callable[[str], Any]) -> None:
        super().__init__(*arguments)
        self._warn = warn
        self.graphed = True
        self._replayed = False
        self._passes: Function | None = None
        #: By how many images they take.
        self._evaluations: dict[int, Function] = {}

    def forward(self, images: Tensor) -> Tensor:
        if self.training or not self.graphed:
            return self._uncompiled(images)
        if len(images) not in self._evaluations:
            self._evaluations[len(images)] = self._recorded(self._uncompiled, images)
        return self._evaluations[len(images)](images)

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        if any(
            type(layer.quantizer).on_epoch_start is not Quantizer.on_epoch_start
            for layer in self.quantized
        ):
            self._forget()

    def training_step(self, batch: Batch, number: int) -> Tensor:
        whole = len(batch[1]) == self.recipe.batch_size
        if whole and self.graphed and self._passes is None:
            self._passes = self._recorded(self._both_passes, *batch)
        self._replayed = whole and self.graphed
        if not self._replayed:
            return super().training_step(batch, number)
        assert self._passes is not None
        self._train_count += len(batch[1])
        return self._passes(*batch)

    def backward(self, loss: Tensor, *arguments: Any, **options: Any) -> None:
        if not self._replayed:
            super().backward(loss, *arguments, **options)

    def optimizer_zero_grad(self, *_: Any) -> None:
        # A graph writes its gradients over the last ones, always into the same memory.
        if not self._replayed:
            self.zero_grad(set_to_none=False)

    def on_validation_model_zero_grad(self) -> None:
        """Keep the gradients, whose memory a graph goes on writing into."""

    def _forget(self) -> None:
        """Have graphs recorded anew when they are needed next."""
        self._passes = None
        self._evaluations.clear()

    def _recorded(self, function: Function, *example: Tensor) -> Function:
        """The function as a graph, recorded without a trace in the network or its sampling.

        The function itself where that fails.
        """
        before = [(buffer, buffer.clone()) for buffer in self.buffers()]
        try:
            with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
                return capture(function, *example)
        except RuntimeError as error:
            self.graphed = False
            self._forget()
            self.zero_grad()
            told = headline(error, of_any_kind=True)
            self._warn(f"no CUDA graph, kernels are launched one by one: {told}")
            return function
        finally:
            for buffer, value in before:
                buffer.copy_(value)

    def _both_passes(self, images: Tensor, labels: Tensor) -> Tensor:
        self.zero_grad(set_to_none=True)
        with self._casts_not_kept():
            inputs = self.normalized(images)
            loss = self.loss_of(inputs, self.network(inputs), labels)
        loss.backward()
        return loss.detach()

    def _uncompiled(self, images: Tensor) -> Tensor:
        with self._casts_not_kept():
            # Only a call of the network itself is compiled.
            return self.network.forward(self.normalized(images))

    def _casts_not_kept(self) -> torch.autocast:
        """The surrounding autocast without its cache: a cached cast would freeze the weights."""
        kind = self.device.type
        return torch.autocast(
            kind,
            torch.get_autocast_dtype(kind),
            enabled=torch.is_autocast_enabled(kind),
            cache_enabled=False,
        )
