"""The files of a store, one per class and split, made from photographs on all cores."""

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
from ttq_repro.data.store import FORMAT, StoredFormat, digest, part_made_from, part_path
from ttq_repro.errors import DataError
from ttq_repro.files import remove_leftovers, write_atomically
from ttq_repro.pictures import opened, rgb, upright
from ttq_repro.workers import SPAWN, cores, serve_parent

SAMPLE = 200  # Photographs from which the cost of all is estimated.
UNCERTAINTY = 0.1  # Of that estimate: three standard deviations, as sizes vary by half.
NAMED = 5  # The most unreadable photographs that an error names.
LONGEST = 65500  # Pixels per side that the JPEG library accepts.


@dataclass(frozen=True)
class Cost:
    """What storing photographs costs: bytes on disk, and seconds."""

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
        """The digest that the file keeps of the photographs that it is made from."""
        files = [(path.name, path.stat().st_size) for path in self.files]
        return digest(FORMAT, files, stored_as)


def parts_of(listing: dict[str, Listing], store: Path) -> list[Part]:
    """All parts of a store of these photographs."""
    return [
        Part(split, name, files, part_path(store, split, name))
        for split, by_class in listing.items()
        for name, files in by_class.items()
    ]


def cost_of(parts: list[Part], stored_as: StoredFormat) -> Cost:
    """Estimate the cost from a sample of the photographs whose parts are missing or out of date.

    Unreadable ones count as zero bytes; :func:`make_parts` reports them.
    """
    missing = [path for part in parts if not _is_made(part, stored_as) for path in part.files]
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
    """Store every class whose part is missing or does not match its current files.

    Raises:
        DataError: photographs are unreadable; the other classes are stored.
    """
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
    """A progress bar over photographs, whose rate covers only those stored by this call."""
    total, left = (sum(len(part.files) for part in some) for some in (parts, missing))
    return tqdm(
        total=total, initial=total - left, desc="preparing", unit=" photographs", smoothing=0
    )


def _is_made(part: Part, stored_as: StoredFormat) -> bool:
    """Whether the stored part of a class matches its current files."""
    stored = part_made_from(part.path)
    return stored is not None and stored == part.made_from(stored_as)


def _make_part(part: Part, stored_as: StoredFormat) -> list[str]:
    """Store one class, or nothing if a photograph is unreadable; return the errors."""
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
    """A photograph as an RGB or grayscale JPEG file, and the histogram of its RGB channels."""
    with opened(path) as image:
        turned = upright(image)
        keeps = image.format == "JPEG" and image.mode in ("RGB", "L") and turned is image
        pixels = rgb(turned)
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
