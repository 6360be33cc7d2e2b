"""A data set in memory: images as uint8 arrays with their labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256

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

    def held_out(self, share: float) -> ImageArrays:
        """The same with a share of the training images in place of the test images.

        What is chosen on them, a method or its options, has not seen the test set. They are the
        same in every run, and wherever the images come from: drawn at random once for all, in an
        order that depends on the images alone and not on the names of their files.

        Raises:
            ValueError: the share leaves nothing on one of the sides.
        """
        count = len(self.train_labels)
        held = round(share * count)
        if not 0 < held < count:
            raise ValueError(f"{share} of {count} images leaves none to train on or none to test")
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
        """Of the training images."""
        return channel_statistics(
            np.stack(
                [np.bincount(self.train_images[..., c].ravel(), minlength=256) for c in range(3)]
            )
        )
