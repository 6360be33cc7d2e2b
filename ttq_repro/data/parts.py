"""The files of a store, one for each class and split, made of photographs on all cores."""

from __future__ import annotations

import time
import zlib
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save
from tqdm import tqdm

from ttq_repro.data.imagenet import Listing
from ttq_repro.data.store import StoredFormat, digest, part_made_from, part_path
from ttq_repro.errors import DataError
from ttq_repro.files import remove_leftovers, write_atomically
from ttq_repro.pictures import opened, rgb
from ttq_repro.workers import SPAWN, cores, serve_parent

SAMPLE = 200  # Photographs that tell what all take before they are stored.
UNCERTAINTY = 0.1  # Of what they tell: three standard deviations, as sizes scatter by half.
NAMED = 5  # Unreadable photographs that an error names.
LONGEST = 65500  # Pixels of a side that the JPEG library takes.


@dataclass(frozen=True)
class Cost:
    """What photographs take: bytes on disk, and seconds to store."""

    bytes: int
    seconds: float


@dataclass(frozen=True)
class Part:
    """The photographs of one class and split, and the file that is to hold them."""

    split: str
    name: str
    files: list[Path]
    path: Path

    def made_from(self, stored_as: StoredFormat) -> str:
        """What the file says of those that it was made from."""
        return digest([(path.name, path.stat().st_size) for path in self.files], stored_as)


def parts_of(listing: dict[str, Listing], store: Path) -> list[Part]:
    """All that a store of these photographs has."""
    return [
        Part(split, name, files, part_path(store, split, name))
        for split, by_class in listing.items()
        for name, files in by_class.items()
    ]


def cost_of(parts: list[Part], stored_as: StoredFormat) -> Cost:
    """Estimated from a sample of the photographs that are not stored yet.

    Unreadable ones take no bytes; :func:`make_parts` names them.
    """
    missing = [path for part in parts if not part.path.is_file() for path in part.files]
    sample = missing[:: max(1, len(missing) // SAMPLE)]
    started = time.perf_counter()
    stored = 0
    for path in sample:
        with suppress(DataError):
            stored += len(_shrink(path, stored_as)[0])
    seconds = time.perf_counter() - started
    scale = len(missing) / max(1, len(sample))
    return Cost(round(stored * scale), seconds * scale / cores())


def make_parts(parts: list[Part], stored_as: StoredFormat) -> None:
    """Store the classes that are not there as their files are now."""
    unreadable: list[str] = []
    with ProcessPoolExecutor(cores(), SPAWN, serve_parent) as pool:
        try:
            is_made = pool.map(partial(_is_made, stored_as=stored_as), parts)
            missing = [part for part, made in zip(parts, is_made, strict=True) if not made]
            futures = {pool.submit(_make_part, part, stored_as): part for part in missing}
            with _progress(parts, missing) as progress:
                for future in as_completed(futures):
                    unreadable += future.result()
                    progress.update(len(futures[future].files))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    if unreadable:
        more = f"; and {len(unreadable) - NAMED} more" if len(unreadable) > NAMED else ""
        raise DataError("; ".join(sorted(unreadable)[:NAMED]) + more)


def _progress(parts: list[Part], missing: list[Part]) -> tqdm:
    """Counts photographs; its rate is that of those that are still to be stored."""
    total, left = (sum(len(part.files) for part in some) for some in (parts, missing))
    return tqdm(
        total=total, initial=total - left, desc="preparing", unit=" photographs", smoothing=0
    )


def _is_made(part: Part, stored_as: StoredFormat) -> bool:
    """Whether a class is stored as its files are now."""
    stored = part_made_from(part.path)
    return stored is not None and stored == part.made_from(stored_as)


def _make_part(part: Part, stored_as: StoredFormat) -> list[str]:
    """Store one class; returns what is unreadable, and stores nothing then."""
    made_from = part.made_from(stored_as)
    jpegs, unreadable = [], []
    histogram = np.zeros((3, 256), np.int64)
    for path in part.files:
        try:
            jpeg, counts = _shrink(path, stored_as)
        except DataError as error:
            unreadable.append(str(error))
        else:
            jpegs.append(jpeg)
            histogram += counts
    if not unreadable:
        remove_leftovers(part.path)
        tensors = {
            "jpegs": np.frombuffer(b"".join(jpegs), np.uint8),
            "ends": np.cumsum([len(jpeg) for jpeg in jpegs]),
            "crc32": np.array([zlib.crc32(jpeg) for jpeg in jpegs], np.uint32),
            "histogram": histogram,
        }
        write_atomically(part.path, save(tensors, {"made_from": made_from}))
    return unreadable


def _shrink(path: Path, stored_as: StoredFormat) -> tuple[bytes, NDArray[np.int64]]:
    """A photograph as an RGB or grey-scale JPEG file, and the histogram of its RGB channels."""
    with opened(path) as image:
        keeps = image.format == "JPEG" and image.mode in ("RGB", "L")
        pixels = rgb(image)
        factor = stored_as.short_side / min(pixels.size)
        if factor < 1:
            width, height = (round(factor * side) for side in pixels.size)
            pixels = pixels.resize((width, height), Image.Resampling.BICUBIC)
        if factor >= 1 and keeps:
            content = path.read_bytes()
        elif max(pixels.size) > LONGEST:
            raise ValueError(f"{pixels.width}x{pixels.height} pixels, more than a JPEG file holds")
        else:
            buffer = BytesIO()
            pixels.save(buffer, "JPEG", quality=stored_as.quality)
            content = buffer.getvalue()
    return content, np.reshape(pixels.histogram(), (3, 256))
