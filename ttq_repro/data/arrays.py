"""A data set in memory: images as uint8 arrays with their labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ttq_repro.data.statistics import ChannelStatistics, channel_statistics


@dataclass(frozen=True)
class ImageArrays:
    """Train and test images of one size.

    Shapes: images (count, height, width, 3) uint8; labels (count,) int64.
    """

    name: str
    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    classes: tuple[str, ...]
    source: str

    def channel_statistics(self) -> ChannelStatistics:
        """Of the training images."""
        return channel_statistics(
            np.stack(
                [np.bincount(self.train_images[..., c].ravel(), minlength=256) for c in range(3)]
            )
        )
