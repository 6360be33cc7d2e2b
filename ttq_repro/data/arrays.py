"""A data set in memory: images as uint8 arrays with their labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from ttq_repro.data.statistics import ChannelStatistics, channel_statistics

#: Into how many parts images are divided to be counted.
PARTS = 100


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

    def held_out(self, share: float) -> ImageArrays:
        """The data set with a share of the training images in place of the test images.

        Methods and options can be chosen on these images without seeing the test set. The images
        are the same in every run, whatever their source: the random draw has a fixed seed, and
        starts from an order that depends on the images' content, not on their file names.

        Raises:
            ValueError: the share leaves no image to train on or none to test on.
        """
        count = len(self.train_labels)
        held = round(share * count)
        if not 0 < held < count:
            raise ValueError(
                f"{share} of {count} images leaves none to train on, or none to test on"
            )
        by_content = sorted(
            range(count), key=lambda i: sha256(self.train_images[i].tobytes()).digest()
        )
        order = np.array(by_content)[np.random.default_rng(0).permutation(count)]
        tested, trained = np.sort(order[:held]), np.sort(order[held:])
        return replace(
            self,
            train_images=self.train_images[trained],
            train_labels=self.train_labels[trained],
            test_images=self.train_images[tested],
            test_labels=self.train_labels[tested],
            source=f"{self.source}, {held:,} training images held out to test on",
        )

    def channel_statistics(self) -> ChannelStatistics:
        """The statistics of the training images."""
        counts = np.zeros((3, 256), np.int64)
        # In parts, as bincount makes eight bytes of each value.
        for part in np.array_split(self.train_images, PARTS):
            counts += [np.bincount(part[..., c].ravel(), minlength=256) for c in range(3)]
        return channel_statistics(counts)
