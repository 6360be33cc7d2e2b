"""Making a store of photographs, once: on all cores, class by class, on top of what is there."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from tqdm import tqdm

from ttq_repro.data.counts import check_classes, check_images
from ttq_repro.data.folder import class_folders
from ttq_repro.data.imagenet import (
    SPLITS,
    Listing,
    find_root,
    list_images,
    truth_files,
)
from ttq_repro.data.store import (
    FORMAT,
    INDEX,
    ImageStore,
    StoredFormat,
    part_path,
    read_part_index,
)
from ttq_repro.errors import DataError, UserError
from ttq_repro.files import remove_leftovers, sha256, write_atomically
from ttq_repro.pictures import opened, rgb
from ttq_repro.words import duration, size
from ttq_repro.workers import SPAWN, cores, serve_parent

SAMPLE = 200  # Photographs that tell what a store will take before it is made.
UNCERTAINTY = 0.1  # Of what they tell: three standard deviations, as sizes scatter by half.
NAMED = 5  # Unreadable photographs that an error names.
LONGEST = 65500  # Pixels of a side that the JPEG library takes.


@dataclass(frozen=True)
class Photographs:
    """A data set of photographs as a config asks for it.

    Attributes:
        root: a store, or a folder of photographs (:mod:`ttq_repro.data.imagenet`); either may
            also lie in ``root/name``.
        num_classes: how many there have to be.
        cache: where stores are made.
        images: how many there have to be of each split; None where any will do.
    """

    root: Path
    name: str
    num_classes: int
    shrinking: StoredFormat
    cache: Path
    images: dict[str, int] | None = None

    @classmethod
    def of(cls, node: dict[str, Any], cache: Path, *, whole: bool = False) -> Photographs:
        """The photographs that a node of ``configs/data`` describes.

        Args:
            whole: whether there have to be as many as ``node["images"]`` says.

        Raises:
            UserError: it describes arrays in memory.
        """
        if "short_side" not in node:
            raise UserError(f"data={node['name']}: no photographs, nothing to prepare")
        shrinking = StoredFormat(node["short_side"], node["quality"])
        return cls(
            Path(node["root"] or "data"),
            node["name"],
            node["num_classes"],
            shrinking,
            cache,
            node.get("images") if whole else None,  # The config of an older record has none.
        )

    @property
    def given_store(self) -> Path | None:
        """The store that lies at ``root``."""
        bases = (self.root, self.root / self.name)
        return next((base for base in bases if (base / INDEX).is_file()), None)

    def cached_store(self, folder: Path) -> Path:
        """Where in the cache the store of a folder lies."""
        key = _digest(str(folder.resolve()), self.shrinking)
        return self.cache / f"{self.name}-{key[:12]}"


@dataclass(frozen=True)
class Cost:
    """What a store takes: bytes on disk, and seconds to make."""

    bytes: int
    seconds: float


@dataclass(frozen=True)
class Survey:
    """What is known of a store before it is needed.

    Attributes:
        path: where it is or will be. done: whether it is there.
        images: photographs of each split. cost: of what is still to be made.
    """

    path: Path
    done: bool
    images: dict[str, int]
    cost: Cost

    def __str__(self) -> str:
        counts = " and ".join(f"{count:,} {split}" for split, count in self.images.items())
        if self.done:
            return f"{counts} photographs, prepared in {self.path} ({size(self.cost.bytes)})"
        return (
            f"{counts} photographs, to be prepared in {self.path}: about {size(self.cost.bytes)}, "
            f"{duration(self.cost.seconds)} on {cores()} cores"
        )


def open_store(wanted: Photographs) -> ImageStore:
    """The store of these photographs, made now if need be.

    Raises:
        DataError: they are not there, photographs or labels are unusable, the disk is too small, or
            the store was made otherwise than asked for.
    """
    return ImageStore(prepare(wanted))


def prepare(wanted: Photographs, store: Path | None = None) -> Path:
    """Make a store of photographs on all cores, unless it is there; returns its folder.

    What an earlier call has finished is kept, class by class; processes that ask at the same time
    wait for the one that works.

    Args:
        store: where to, by default where :func:`open_store` looks.

    Raises:
        DataError: as :func:`open_store`; unreadable photographs are named when all others are done.
    """
    with _files_explained(store or wanted.cache):
        path = wanted.given_store
        if path is None:
            folder = find_root(wanted.root, wanted.name)
            path = store or wanted.cached_store(folder)
            _make(path, folder, wanted)
        _check(ImageStore(path), wanted)
    return path


def survey(wanted: Photographs, store: Path | None = None) -> Survey:
    """Find out what :func:`open_store`, or :func:`prepare` with ``store``, would do.

    Raises:
        DataError: the photographs are not there, or not as they have to be.
    """
    with _files_explained(store or wanted.cache):
        path = wanted.given_store
        if path is None:
            folder = find_root(wanted.root, wanted.name)
            path = store or wanted.cached_store(folder)
            if _made_from(path) != _fingerprint(folder, wanted.shrinking):
                listing = _listed(folder, wanted)
                cost = _cost(_tasks(listing, path), wanted.shrinking)
                _check_disk(path, cost)
                return Survey(path, False, _counts(listing), cost)
        made = ImageStore(path)
        _check(made, wanted)
    return Survey(path, True, made.counts, Cost(made.bytes, 0))


@contextmanager
def _files_explained(place: Path) -> Iterator[None]:
    """Turn a folder that cannot be read or written, or a full disk, into a :class:`DataError`.

    Args:
        place: named where the error names no file.
    """
    try:
        yield
    except OSError as error:
        raise DataError(f"{error.filename or place}: {error.strerror or error}") from None


def _check(store: ImageStore, wanted: Photographs) -> None:
    """Raises DataError if a store is not as the config asks for it."""
    if store.shrinking != wanted.shrinking:
        raise DataError(
            f"{store.root}: stored at {store.shrinking}, but data asks for {wanted.shrinking}"
        )
    check_classes(store.root, len(store.classes), wanted.num_classes)
    check_images(wanted.name, store.counts, wanted.images)


def _listed(folder: Path, wanted: Photographs) -> dict[str, Listing]:
    listing = list_images(folder, wanted.num_classes)
    check_images(wanted.name, _counts(listing), wanted.images)
    return listing


def _counts(listing: dict[str, Listing]) -> dict[str, int]:
    return {split: sum(map(len, files.values())) for split, files in listing.items()}


def _make(store: Path, folder: Path, wanted: Photographs) -> None:
    """Make the store of a folder, unless it is there as the folder is now."""
    store.mkdir(parents=True, exist_ok=True)
    with FileLock(store / ".lock"):
        made_from = _fingerprint(folder, wanted.shrinking)
        if _made_from(store) != made_from:
            listing = _listed(folder, wanted)
            tasks = _tasks(listing, store)
            _check_disk(store, _cost(tasks, wanted.shrinking))
            _make_parts(tasks, wanted.shrinking)
            _write_index(store, listing, wanted.shrinking, made_from)


@dataclass(frozen=True)
class _Task:
    """The photographs of one class and split, and the file that is to hold them."""

    files: list[Path]
    part: Path

    def made_from(self, shrinking: StoredFormat) -> str:
        """What its part says of the files that it was made from."""
        return _digest([(path.name, path.stat().st_size) for path in self.files], shrinking)


def _made_from(store: Path) -> str | None:
    """What a store was made from; None where there is none, or none that reads."""
    try:
        return ImageStore(store).made_from
    except DataError:
        return None


def _tasks(listing: dict[str, Listing], store: Path) -> list[_Task]:
    return [
        _Task(files, part_path(store, split, name))
        for split, by_class in listing.items()
        for name, files in by_class.items()
    ]


def _fingerprint(folder: Path, shrinking: StoredFormat) -> str:
    """Changes when a file is added to a class folder, removed or renamed, and with the labels."""
    splits = [folder / split for split in SPLITS]
    folders = splits + [split / name for split in splits for name in class_folders(split)]
    state = [(str(f.relative_to(folder)), f.stat().st_mtime_ns) for f in folders]
    labels = [(path.name, sha256(path)) for path in truth_files(folder)]
    return _digest(state + labels, shrinking)


def _cost(tasks: list[_Task], shrinking: StoredFormat) -> Cost:
    """Estimated from a sample of the photographs that are not stored yet."""
    missing = [path for task in tasks if not task.part.is_file() for path in task.files]
    sample = missing[:: max(1, len(missing) // SAMPLE)]
    started = time.perf_counter()
    stored = [len(_shrink(path, shrinking)[0]) for path in sample]
    seconds = time.perf_counter() - started
    scale = len(missing) / max(1, len(sample))
    return Cost(round(sum(stored) * scale), seconds * scale / cores())


def _check_disk(store: Path, cost: Cost) -> None:
    there = next(folder for folder in (store, *store.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(there).free
    if cost.bytes * (1 + UNCERTAINTY) > free:
        raise DataError(f"{store}: takes about {size(cost.bytes)}, {size(free)} are free")


def _make_parts(tasks: list[_Task], shrinking: StoredFormat) -> None:
    """Store the classes that are not there as their files are now."""
    unreadable: list[str] = []
    with ProcessPoolExecutor(cores(), SPAWN, serve_parent) as pool:
        try:
            is_made = pool.map(partial(_is_made, shrinking=shrinking), tasks)
            missing = [task for task, made in zip(tasks, is_made, strict=True) if not made]
            futures = {pool.submit(_make_part, task, shrinking): task for task in missing}
            with _progress(tasks, missing) as progress:
                for future in as_completed(futures):
                    unreadable += future.result()
                    progress.update(len(futures[future].files))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    if unreadable:
        more = f"; and {len(unreadable) - NAMED} more" if len(unreadable) > NAMED else ""
        raise DataError("; ".join(sorted(unreadable)[:NAMED]) + more)


def _progress(tasks: list[_Task], missing: list[_Task]) -> tqdm:
    """Counts photographs; its rate is that of those that are still to be stored."""
    total, left = (sum(len(task.files) for task in some) for some in (tasks, missing))
    return tqdm(
        total=total, initial=total - left, desc="preparing", unit=" photographs", smoothing=0
    )


def _is_made(task: _Task, shrinking: StoredFormat) -> bool:
    """Whether a class is stored as its files are now."""
    stored = _metadata(task.part).get("made_from")
    return stored is not None and stored == task.made_from(shrinking)


def _make_part(task: _Task, shrinking: StoredFormat) -> list[str]:
    """Store one class; returns what is unreadable, and stores nothing then."""
    made_from = task.made_from(shrinking)
    jpegs, unreadable = [], []
    histogram = np.zeros((3, 256), np.int64)
    for path in task.files:
        try:
            jpeg, counts = _shrink(path, shrinking)
        except DataError as error:
            unreadable.append(str(error))
        else:
            jpegs.append(jpeg)
            histogram += counts
    if not unreadable:
        remove_leftovers(task.part)
        tensors = {
            "jpegs": np.frombuffer(b"".join(jpegs), np.uint8),
            "ends": np.cumsum([len(jpeg) for jpeg in jpegs]),
            "crc32": np.array([zlib.crc32(jpeg) for jpeg in jpegs], np.uint32),
            "histogram": histogram,
        }
        write_atomically(task.part, save(tensors, {"made_from": made_from}))
    return unreadable


def _shrink(path: Path, shrinking: StoredFormat) -> tuple[bytes, NDArray[np.int64]]:
    """A photograph as an RGB or grey-scale JPEG file, and the histogram of its RGB channels."""
    with opened(path) as image:
        keeps = image.format == "JPEG" and image.mode in ("RGB", "L")
        pixels = rgb(image)
        factor = shrinking.short_side / min(pixels.size)
        if factor < 1:
            width, height = (round(factor * side) for side in pixels.size)
            pixels = pixels.resize((width, height), Image.Resampling.BICUBIC)
        if factor >= 1 and keeps:
            content = path.read_bytes()
        elif max(pixels.size) > LONGEST:
            raise ValueError(f"{pixels.width}x{pixels.height} pixels, more than a JPEG file holds")
        else:
            buffer = BytesIO()
            pixels.save(buffer, "JPEG", quality=shrinking.quality)
            content = buffer.getvalue()
    return content, np.reshape(pixels.histogram(), (3, 256))


def _write_index(
    store: Path, listing: dict[str, Listing], shrinking: StoredFormat, made_from: str
) -> None:
    parts = {
        split: {name: part_path(store, split, name) for name in by_class}
        for split, by_class in listing.items()
    }
    indices = {
        split: [read_part_index(path) for path in paths.values()] for split, paths in parts.items()
    }
    index = {
        "format": FORMAT,
        "made_from": made_from,
        "shrinking": asdict(shrinking),
        "classes": list(listing["train"]),
        "counts": {split: sum(len(i.ends) for i in found) for split, found in indices.items()},
        "bytes": sum(path.stat().st_size for paths in parts.values() for path in paths.values()),
        "checksums": {split: [i.checksum for i in found] for split, found in indices.items()},
    }
    write_atomically(store / INDEX, json.dumps(index).encode())
    for split, paths in parts.items():
        for path in set((store / split).glob("*.safetensors")) - set(paths.values()):
            if "made_from" in _metadata(path):
                path.unlink()  # Of a class that is no more.


def _metadata(part: Path) -> dict[str, str]:
    try:
        with safe_open(part, "np") as tensors:
            return tensors.metadata() or {}
    except (OSError, SafetensorError):
        return {}


def _digest(*facts: Any) -> str:
    return hashlib.sha256(repr(facts).encode()).hexdigest()
