"""Training on a GPU without launching kernels one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ttq_repro.cuda_graph import Function, capture
from ttq_repro.data.source import Batch
from ttq_repro.errors import headline
from ttq_repro.quantizers import Quantizer
from ttq_repro.training.module import Classifier


def classifier(
    device: torch.device, *, replayed: bool, warn: Callable[[str], Any], **arguments: Any
) -> Classifier:
    """The fastest LightningModule for a device.

    Args:
        replayed: whether its passes may be replayed as CUDA graphs on a GPU.
        warn: called with the reason if there can be no graph.
        arguments: those of :class:`Classifier`.
    """
    if device.type == "cuda" and replayed:
        return GraphedClassifier(warn=warn, **arguments)
    return Classifier(**arguments)


class GraphedClassifier(Classifier):
    """Replays the forward and backward pass of a full batch as one CUDA graph.

    A step of a small network consists of hundreds of kernels of a few microseconds each, less than
    Python takes to launch them. The optimizer stays outside the graph, where Lightning and
    schedules can reach it; it needs only a few kernels for all parameters together. A batch of
    another size, at the end of an epoch, is launched kernel by kernel and runs uncompiled, as it is
    not worth a compilation of its own. Evaluation is replayed as well, and runs uncompiled.

    If a quantizer acts at the start of an epoch, graphs are recorded again after it, as a graph
    does not contain Python's branches. Code that waits for the GPU, for example to read the value
    of a tensor, cannot be recorded; all kernels are then launched one by one.

    Args:
        warn: called with the reason if there can be no graph.
        arguments: those of :class:`Classifier`.
    """

    def __init__(self, *, warn: Callable[[str], Any], **arguments: Any) -> None:
        super().__init__(**arguments)
        self._warn = warn
        self.graphed = True
        self._replayed = False
        self._passes: Function | None = None
        #: By batch size.
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
        if not whole:
            self._train_count += len(batch[1])
            inputs = self.normalized(batch[0])
            return self.loss_of(inputs, self.network.forward(inputs), batch[1])
        if not self._replayed:
            return super().training_step(batch, number)
        assert self._passes is not None
        self._train_count += len(batch[1])
        return self._passes(*batch)

    def backward(self, loss: Tensor, *arguments: Any, **options: Any) -> None:
        if not self._replayed:
            super().backward(loss, *arguments, **options)

    def optimizer_zero_grad(self, *_: Any) -> None:
        # A graph overwrites the previous gradients in place.
        if not self._replayed:
            self.zero_grad(set_to_none=False)

    def on_validation_model_zero_grad(self) -> None:
        """Keep the gradients, as graphs go on writing into their memory."""

    def _forget(self) -> None:
        """Have graphs recorded again when they are next needed."""
        self._passes = None
        self._evaluations.clear()

    def _recorded(self, function: Function, *example: Tensor) -> Function:
        """The function as a graph, or the function itself if recording fails.

        Recording changes neither the network's buffers nor the state of random generators.
        """
        before = [(buffer, buffer.clone()) for buffer in self.buffers()]
        try:
            with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
                return capture(function, *example)
        except RuntimeError as error:
            self.graphed = False
            self._forget()
            self.zero_grad()
            told = headline(error, with_class=True)
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
            # Calling forward directly bypasses compilation.
            return self.network.forward(self.normalized(images))

    def _casts_not_kept(self) -> torch.autocast:
        """The current autocast without its cache: a graph would replay stale casts of weights."""
        kind = self.device.type
        return torch.autocast(
            kind,
            torch.get_autocast_dtype(kind),
            enabled=torch.is_autocast_enabled(kind),
            cache_enabled=False,
        )
