"""The statistics of batch norm with which a network is tested."""

from __future__ import annotations

from collections import deque
from typing import cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ttq_repro.data.source import Batch
from ttq_repro.training.module import Classifier


def statistics_for_tests(batches: int | None, steps: int) -> list[pl.Callback]:
    """The callbacks that prepare the statistics for each test.

    Args:
        batches: how many of an epoch's ``steps`` batches re-estimate them; None to leave that out.
    """
    reestimation = [] if batches is None else [ReestimatedStatistics(min(batches, steps))]
    return [*reestimation, AveragedStatistics()]  # The average of what each process has.


class ReestimatedStatistics(pl.Callback):
    """Computes the statistics anew before each test, from the last images of the epoch.

    Running statistics average over some 20 steps, during which low-bit weights keep changing. One
    scale shifts the inputs of all layers behind it, so that the network that is tested may have
    other statistics than those it is tested with (Nagel et al., ICML 2022, arXiv 2203.11086).
    Training is not affected: in it, each batch is normalized by its own statistics.

    Unlike ``torch.optim.swa_utils.update_bn``, this puts batch norm alone into training mode: a
    quantizer that samples weights in training keeps those that are tested.

    Args:
        batches: over how many training batches means and variances are averaged, at least 1 and at
            most as many as an epoch has.
    """

    def __init__(self, batches: int) -> None:
        self._images: deque[Tensor] = deque(maxlen=batches)

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, _: object, batch: Batch, *__: object
    ) -> None:
        self._images.append(batch[0])

    @torch.no_grad()
    def on_validation_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        classifier = cast(Classifier, module)
        layers = batch_norms(classifier.network)
        momenta = [layer.momentum for layer in layers]
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # The plain average.
            layer.train()
        with trainer.precision_plugin.forward_context():
            for images in self._images:
                # Calling forward directly bypasses compilation, for which these are too few.
                classifier.network.forward(classifier.normalized(images))
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
            layer.eval()
        self._images.clear()


class AveragedStatistics(pl.Callback):
    """Averages running statistics over the processes that train a run before each test.

    In training, every process normalizes by its own shard of a batch. The average of their running
    means and variances is what a single process would keep if it normalized shard by shard.
    """

    @torch.no_grad()
    def on_validation_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        statistics = [
            own
            for layer in batch_norms(module)
            for own in (layer.running_mean, layer.running_var)
            if own is not None
        ]
        if trainer.world_size == 1 or not statistics:
            return
        average = trainer.strategy.reduce(torch.cat(statistics), reduce_op="mean")
        channels = [len(own) for own in statistics]
        for own, common in zip(statistics, average.split(channels), strict=True):
            own.copy_(common)


def batch_norms(network: nn.Module) -> list[_BatchNorm]:
    """The layers that keep running statistics."""
    return [
        layer
        for layer in network.modules()
        if isinstance(layer, _BatchNorm) and layer.track_running_stats
    ]
