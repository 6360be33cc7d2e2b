"""Where a run trains."""

from __future__ import annotations

import torch

from ttq_repro.data.share import WHOLE, Share


def device_of(accelerator: str, share: Share = WHOLE) -> torch.device:
    """The device of one of a run's processes, as Lightning chooses it.

    Args:
        accelerator: as in ``configs/trainer``.
    """
    if accelerator != "cpu" and torch.cuda.is_available():
        return torch.device("cuda", share.rank)
    return torch.device("cpu")
