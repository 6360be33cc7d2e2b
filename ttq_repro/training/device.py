"""The device that a run trains on."""

from __future__ import annotations

import torch

from ttq_repro.data.share import WHOLE, Share


def device_of(accelerator: str, share: Share = WHOLE) -> torch.device:
    """The device that Lightning chooses for one of a run's processes.

    Args:
        accelerator: as in ``configs/trainer``.
    """
    if accelerator != "cpu" and torch.cuda.is_available():
        return torch.device("cuda", share.rank)
    return torch.device("cpu")
