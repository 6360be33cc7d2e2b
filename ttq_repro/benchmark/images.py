"""Noise to train on, where nothing but the time counts."""

from __future__ import annotations

import numpy as np

from ttq_repro.data.arrays import ImageArrays
from ttq_repro.data.pipeline import ArraySource
from ttq_repro.runs.config import Config

#: As CIFAR-10's, but fewer: what a batch costs does not depend on how many there are.
IMAGES, SIDE, CLASSES = 12_800, 32, 10


def random_images() -> ImageArrays:
    """Noise in the shape of CIFAR-10."""
    random = np.random.default_rng(0)
    shape = (IMAGES + 1, SIDE, SIDE, 3)
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


def random_source(config: Config) -> ArraySource:
    """The noise, augmented as the data set of a run's config is."""
    data = config["data"]
    return ArraySource(random_images(), pad=data["pad"], flip=data["flip"])
