"""The built-in data set: scikit-learn's handwritten digits as 32x32 RGB, no download needed."""

from __future__ import annotations

import numpy as np

from ttq_repro.data.arrays import ImageArrays

TEST_IMAGES = 360  # The last fifth; scikit-learn's order keeps the writers separate.


def load_digits() -> ImageArrays:
    """1,437 training and 360 test images of 10 classes, 8x8 gray values enlarged fourfold."""
    from sklearn.datasets import load_digits as sklearn_digits

    digits = sklearn_digits()
    grey = (digits.images * (255 / 16)).round().astype(np.uint8)
    large = grey.repeat(4, axis=1).repeat(4, axis=2)
    images = np.repeat(large[..., None], 3, axis=3)
    labels = digits.target.astype(np.int64)
    return ImageArrays(
        name="digits",
        train_images=images[:-TEST_IMAGES],
        train_labels=labels[:-TEST_IMAGES],
        test_images=images[-TEST_IMAGES:],
        test_labels=labels[-TEST_IMAGES:],
        classes=tuple("0123456789"),
        source="scikit-learn handwritten digits (embedded)",
    )
