"""Lightning's data parallelism over processes that the caller has started."""

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
    """Arguments of a ``pl.Trainer`` for one of the processes that train a run together.

    The environment must hold the process's rank and the address of the first process:
    ``LOCAL_RANK``, ``MASTER_ADDR`` and ``MASTER_PORT``.
    """
    if share.world == 1:
        return {"devices": 1}
    # Not every supported version of torch can split a compiled graph into DDP's buckets if it
    # contains a custom autograd function, such as Deep Compression's.
    torch._dynamo.config.optimize_ddp = False
    return {
        "devices": share.world,
        # AveragedStatistics replaces copying the first process's buffers in every step.
        "strategy": DDPStrategy(broadcast_buffers=False, gradient_as_bucket_view=True),
    }


class AveragedStatistics(pl.Callback):
    """Averages batch norm's running statistics over the processes before each evaluation.

    In training, every process normalizes by its own share of a batch. The average of their running
    means and variances is what a single process would keep if it normalized share by share.
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
    """Running means and variances, each of shape (channels,)."""
    for layer in module.modules():
        if isinstance(layer, _BatchNorm):
            yield from filter(torch.is_tensor, (layer.running_mean, layer.running_var))
