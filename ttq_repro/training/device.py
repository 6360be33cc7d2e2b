"""The device that a run trains on."""

from __future__ import annotations

import torch

from ttq_repro.data.shard import WHOLE, Shard


def device_of(accelerator: str, shard: Shard = WHOLE) -> torch.device:
    """The device of one of a run's processes: a CUDA GPU if there is one and it may be used.

    Args:
        accelerator: as in ``configs/trainer``.
    """
    if accelerator != "cpu" and torch.cuda.is_available():
        return torch.device("cuda", shard.rank)
    return torch.device("cpu")
