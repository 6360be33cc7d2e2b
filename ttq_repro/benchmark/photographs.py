"""Generated photographs that cost as much to decode as ImageNet's."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

#: Width and height of most of ILSVRC12's photographs, in pixels.
SIZE = (500, 375)
#: The number of distinct photographs, and the number of names (hard links) of each.
DISTINCT, NAMES = 64, 24
CLASSES = 2
#: JPEG quality, at which files are about as large as ILSVRC12's, 110 kB.
QUALITY = 90


def write_photographs(root: Path) -> int:
    """Write an ImageNet-style folder of coarse and fine noise; return its training image count."""
    random = np.random.default_rng(0)
    for number in range(DISTINCT):
        coarse = Image.fromarray(random.integers(0, 256, (24, 32, 3), np.uint8))
        pixels = np.asarray(coarse.resize(SIZE, Image.Resampling.BICUBIC), np.int16)
        pixels = pixels + random.integers(-16, 17, pixels.shape)
        first = root / "train" / str(number % CLASSES) / f"{number}.jpg"
        first.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(first, quality=QUALITY)
        for name in range(1, NAMES):
            os.link(first, first.with_stem(f"{number}_{name}"))
    for label in range(CLASSES):
        (root / "val" / str(label)).mkdir(parents=True)
        os.link(root / "train" / str(label) / f"{label}.jpg", root / "val" / str(label) / "0.jpg")
    return DISTINCT * NAMES
