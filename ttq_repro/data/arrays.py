"""A data set in memory: images as uint8 arrays with their labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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

    def channel_statistics(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation of the three channels of the training images, in [0, 1]."""
        counts = np.stack(
            [np.bincount(self.train_images[..., c].ravel(), minlength=256) for c in range(3)]
        )
        values = np.arange(256) / 255
        shares = counts / counts.sum(1, keepdims=True)
        mean = shares @ values
        return mean, np.sqrt(shares @ values**2 - mean**2)
