"""Lightning's data parallelism over processes that the caller has started."""

from __future__ import annotations

from typing import Any

import torch
from pytorch_lightning.strategies import DDPStrategy

from ttq_repro.data.shard import Shard


def data_parallel(shard: Shard) -> dict[str, Any]:
    """Arguments of a ``pl.Trainer`` for one of the processes that train a run together.

    The environment must hold the process's rank and the address of the first process:
    ``LOCAL_RANK``, ``MASTER_ADDR`` and ``MASTER_PORT``.
    """
    if shard.world_size == 1:
        return {"devices": 1}
    # Not every supported version of torch can split a compiled graph into DDP's buckets if it
    # contains a custom autograd function, such as Deep Compression's.
    torch._dynamo.config.optimize_ddp = False
    return {
        "devices": shard.world_size,
        # AveragedStatistics replaces copying the first process's buffers in every step.
        "strategy": DDPStrategy(broadcast_buffers=False, gradient_as_bucket_view=True),
    }
