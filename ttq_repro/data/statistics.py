"""Mean and standard deviation of each color channel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Mean and standard deviation of each channel, both (3,), in [0, 1].
ChannelStatistics = tuple[NDArray[np.float64], NDArray[np.float64]]


def channel_statistics(histogram: NDArray[np.integer]) -> ChannelStatistics:
    """The statistics from the counts of the 256 values in each channel, shape (3, 256)."""
    values = np.arange(256) / 255
    shares = histogram / histogram.sum(1, keepdims=True)
    mean = shares @ values
    return mean, np.sqrt(shares @ values**2 - mean**2)
