"""Photographs shrunk once: a file of JPEGs for each class and split, with checksums.

``store.json`` beside them is written last; a folder without it is not a store yet. Each
``SPLIT/CLASS.safetensors`` holds

========= ============== =====================================================
jpegs     (bytes,) uint8 the photographs, one JPEG file after the other
ends      (count,) int64 where each one ends
crc32     (count,) uint32 checksum of each one
histogram (3, 256) int64 how often each value occurs in each channel
========= ============== =====================================================
"""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from ttq_repro.data.imagenet import SPLITS
from ttq_repro.data.statistics import ChannelStatistics, channel_statistics
from ttq_repro.errors import DataError

INDEX = "store.json"
FORMAT = 3


@dataclass(frozen=True)
class StoredFormat:
    """How photographs are stored: ``short_side`` in pixels, JPEG ``quality`` up to 100.

    Photographs with a shorter short side are not enlarged.
    """

    short_side: int
    quality: int

    def __str__(self) -> str:
        return f"short side {self.short_side}, quality {self.quality}"


class ImageStore:
    """A prepared data set.

    Attributes:
        made_from: digest of the state of the folders that it was made from.
        stored_as: how its photographs were stored.
        classes: the names of the classes, by label.
        counts: number of photographs of each split.
        bytes: size on disk.

    Raises:
        DataError: the index is missing or damaged.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            index = json.loads((root / INDEX).read_text())
            if index["format"] != FORMAT:
                raise ValueError(f"format {index['format']}, expected {FORMAT}")
            self.made_from: str = index["made_from"]
            self.stored_as = StoredFormat(**index["shrinking"])
            self.classes = tuple(index["classes"])
            self.bytes: int = index["bytes"]
            self._checksums: dict[str, list[str]] = {s: index["checksums"][s] for s in SPLITS}
            self.counts: dict[str, int] = {s: index["counts"][s] for s in SPLITS}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{root / INDEX}: not a readable store ({error})") from None

    def split(self, name: str) -> StoredSplit:
        """The photographs of ``train`` or ``val``."""
        paths = [part_path(self.root, name, class_name) for class_name in self.classes]
        return StoredSplit(paths, self._checksums[name])


class StoredSplit:
    """The photographs of one split, class by class, indexed by number, as bytes of JPEG files.

    Raises:
        DataError: a file is missing, or its index or a photograph fails its checksum.
    """

    def __init__(self, paths: list[Path], checksums: list[str]) -> None:
        self._paths = paths
        parts = [read_part_index(path) for path in paths]
        for path, part, checksum in zip(paths, parts, checksums, strict=True):
            if part.checksum != checksum:
                raise _damaged(path, "its index")
        counts = [len(part.ends) for part in parts]
        self._histogram = np.sum([part.histogram for part in parts], 0)
        #: (count,) int64.
        self.labels = np.repeat(np.arange(len(counts)), counts)
        self._first = np.cumsum([0, *counts])
        self._starts = np.concatenate([np.append(0, part.ends[:-1]) for part in parts])
        self._ends = np.concatenate([part.ends for part in parts])
        self._crc32 = np.concatenate([part.crc32 for part in parts])
        self._jpegs: dict[int, Any] = {}

    def __len__(self) -> int:
        return len(self.labels)

    def channel_statistics(self) -> ChannelStatistics:
        """The statistics of the photographs as stored."""
        return channel_statistics(self._histogram)

    def __getitem__(self, index: int) -> bytes:
        label = int(self.labels[index])
        # Opened on first use, so that every reading process has its own handles.
        if label not in self._jpegs:
            self._jpegs[label] = safe_open(self._paths[label], "np").get_slice("jpegs")
        place = slice(int(self._starts[index]), int(self._ends[index]))
        jpeg = self._jpegs[label][place].tobytes()
        if zlib.crc32(jpeg) != self._crc32[index]:
            raise _damaged(self._paths[label], f"photograph {index - self._first[label]}")
        return jpeg


@dataclass(frozen=True)
class PartIndex:
    """Everything in a part except its photographs."""

    ends: NDArray[np.int64]
    crc32: NDArray[np.uint32]
    histogram: NDArray[np.int64]

    @property
    def checksum(self) -> str:
        content = self.ends.tobytes() + self.crc32.tobytes() + self.histogram.tobytes()
        return hashlib.sha256(content).hexdigest()


def part_path(store: Path, split: str, class_name: str) -> Path:
    return store / split / f"{class_name}.safetensors"


def read_part_index(part: Path) -> PartIndex:
    try:
        with safe_open(part, "np") as tensors:
            return PartIndex(*(tensors.get_tensor(name) for name in ("ends", "crc32", "histogram")))
    except (OSError, SafetensorError) as error:
        raise _damaged(part, str(error)) from None


def part_made_from(part: Path) -> str | None:
    """The digest of what a part was made from; None if the file is missing or not a part."""
    try:
        with safe_open(part, "np") as tensors:
            return (tensors.metadata() or {}).get("made_from")
    except (OSError, SafetensorError):
        return None


def digest(*facts: Any) -> str:
    """A digest that changes when any of the facts does, such as what a store was made from."""
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def _damaged(part: Path, what: str) -> DataError:
    return DataError(f"{part}: damaged ({what}); remove {part.parent.parent / INDEX} and this file")
