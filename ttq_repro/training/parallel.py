"""Lightning's data parallelism over processes that somebody else has started."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from ttq_repro.data.share import Share


def data_parallel(share: Share) -> dict[str, Any]:
    """Arguments of a ``pl.Trainer`` for one process of those that share a run.

    What tells a process who it is and where the others are has to be in the environment:
    ``LOCAL_RANK``, ``MASTER_ADDR`` and ``MASTER_PORT``.
    """
    if share.world == 1:
        return {"devices": 1}
    # Not every supported version of torch can split a compiled graph into DDP's buckets where it
    # holds a function with a backward pass of its own, such as Deep Compression's.
    torch._dynamo.config.optimize_ddp = False
    return {
        "devices": share.world,
        # Buffers are not copied from the first process in every step: see AveragedStatistics.
        "strategy": DDPStrategy(broadcast_buffers=False, gradient_as_bucket_view=True),
    }


class AveragedStatistics(pl.Callback):
    """Averages batch norm's running statistics over the processes before each evaluation.

    In training every process normalizes by its own share of a batch. The average of their running
    means and variances is what one process would keep that normalizes share by share.
    """

    @torch.no_grad()
    def on_validation_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        statistics = list(_running_statistics(module))
        if trainer.world_size == 1 or not statistics:
            return
        average = trainer.strategy.reduce(torch.cat(statistics), reduce_op="mean")
        channels = [len(own) for own in statistics]
        for own, common in zip(statistics, average.split(channels), strict=True):
            own.copy_(common)


def _running_statistics(module: torch.nn.Module) -> Iterator[Tensor]:
    """(channels,) each."""
    for layer in module.modules():
        if isinstance(layer, _BatchNorm):
            yield from filter(torch.is_tensor, (layer.running_mean, layer.running_var))
