"""Random images to train on when only time is measured."""

from __future__ import annotations

import numpy as np

from ttq_repro.data.array_source import ArraySource
from ttq_repro.data.arrays import ImageArrays
from ttq_repro.runs.config import Config

SIDE, CLASSES = 32, 10  # As CIFAR-10's.


def random_images(count: int) -> ImageArrays:
    """Noise in the shape of CIFAR-10: ``count`` training images and a single test image."""
    random = np.random.default_rng(0)
    shape = (count + 1, SIDE, SIDE, 3)
    images = random.integers(0, 256, shape, np.uint8)
    labels = random.integers(0, CLASSES, len(images))
    return ImageArrays(
        name="random",
        train_images=images[:-1],
        train_labels=labels[:-1],
        test_images=images[-1:],
        test_labels=labels[-1:],
        classes=tuple(map(str, range(CLASSES))),
        source="random images",
    )


def random_source(config: Config, steps: int) -> ArraySource:
    """Noise for ``steps`` steps per epoch, augmented like the data set of a run's config."""
    data, images = config["data"], steps * config["recipe"]["batch_size"]
    return ArraySource(random_images(images), pad=data["pad"], flip=data["flip"])
