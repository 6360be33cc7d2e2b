"""Estimating and making a store of photographs, reusing the parts that already exist."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from ttq_repro.checks import check_option, check_whole
from ttq_repro.data.folder import class_folders
from ttq_repro.data.imagenet import (
    SPLITS,
    Listing,
    find_root,
    list_images,
    truth_files,
)
from ttq_repro.data.node import check_classes, check_images, is_of_photographs, root_of
from ttq_repro.data.parts import UNCERTAINTY, Cost, Part, cost_of, make_parts, parts_of
from ttq_repro.data.store import (
    FORMAT,
    INDEX,
    ImageStore,
    StoredFormat,
    digest,
    part_made_from,
    read_part_index,
)
from ttq_repro.errors import DataError, UserError
from ttq_repro.files import nearest_existing, sha256, write_atomically
from ttq_repro.humanize import duration, size
from ttq_repro.workers import cores


@dataclass(frozen=True)
class StoreRequest:
    """A data set of photographs as a config asks for it.

    Attributes:
        root: a store, or a folder of photographs (:mod:`ttq_repro.data.imagenet`); either may
            also lie in ``root/name``.
        num_classes: the required number of classes.
        cache: where stores are made.
        images: the required number of images of each split; None if any will do.
    """

    root: Path
    name: str
    num_classes: int
    stored_as: StoredFormat
    cache: Path
    images: dict[str, int] | None = None

    @classmethod
    def of(cls, node: dict[str, Any], cache: Path, *, whole: bool = False) -> StoreRequest:
        """The photographs that a node of ``configs/data`` describes.

        Args:
            whole: whether to require as many as ``node["images"]`` says.

        Raises:
            UserError: the node describes arrays in memory, or its storage options are invalid.
        """
        if not is_of_photographs(node):
            raise UserError(
                f"data={node['name']}: holds no photographs, so there is nothing to prepare"
            )
        check_option("data.short_side", node["short_side"], check_whole, 1)
        check_option("data.quality", node["quality"], check_whole, 1, 100)
        stored_as = StoredFormat(node["short_side"], node["quality"])
        return cls(
            root_of(node),
            node["name"],
            node["num_classes"],
            stored_as,
            cache,
            node["images"] if whole else None,
        )

    @property
    def given_store(self) -> Path | None:
        """The store that lies at ``root`` or ``root/name``, if there is one."""
        bases = (self.root, self.root / self.name)
        return next((base for base in bases if (base / INDEX).is_file()), None)

    def cached_store(self, folder: Path) -> Path:
        """The place of a folder's store in the cache."""
        key = digest(str(folder.resolve()), self.stored_as)
        return self.cache / f"{self.name}-{key[:12]}"


@dataclass(frozen=True)
class Survey:
    """What is known about a store before it is made.

    Attributes:
        path: where it is or will be.
        done: whether it is there.
        images: number of photographs of each split.
        cost: estimate for what is still to be made; if done, the size of the store and 0 seconds.
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


def open_store(wanted: StoreRequest) -> ImageStore:
    """The store of these photographs, made now if necessary.

    Raises:
        DataError: the photographs are missing, they or their labels are unusable, the disk is too
            small, or the store does not match the request.
    """
    return ImageStore(prepare(wanted))


def prepare(wanted: StoreRequest, store: Path | None = None) -> Path:
    """Make a store of photographs on all cores, unless it is there; return its folder.

    Classes that an earlier call has finished are kept. Concurrent processes wait for the one that
    makes the store.

    Args:
        store: folder of the store; by default where :func:`open_store` looks.

    Raises:
        DataError: as :func:`open_store`; unreadable photographs are named when all others are done.
        UserError: ``store`` holds the photographs, or would have to be made from another store.
    """
    with _as_data_error(store or wanted.cache):
        path = _given(wanted, store)
        if path is None:
            folder = find_root(wanted.root, wanted.name)
            path = _new(wanted, folder, store)
            _make(path, folder, wanted)
        _check(ImageStore(path), wanted)
    return path


def survey(wanted: StoreRequest, store: Path | None = None) -> Survey:
    """Find out what :func:`open_store`, or :func:`prepare` with ``store``, would do.

    Raises:
        DataError: the photographs are missing or not as required, or the disk is too small.
        UserError: ``store`` holds the photographs, or would have to be made from another store.
    """
    with _as_data_error(store or wanted.cache):
        path = _given(wanted, store)
        if path is None:
            folder = find_root(wanted.root, wanted.name)
            path = _new(wanted, folder, store)
            if _made_from(path) != _fingerprint(folder, wanted.stored_as):
                listing = _listed(folder, wanted)
                cost = cost_of(parts_of(listing, path), wanted.stored_as)
                _check_disk(path, cost)
                return Survey(path, False, _counts(listing), cost)
        made = ImageStore(path)
        _check(made, wanted)
    return Survey(path, True, made.counts, Cost(made.bytes, 0))


def _given(wanted: StoreRequest, store: Path | None) -> Path | None:
    """The store that is given in place of photographs; no other can be made from it."""
    given = wanted.given_store
    if given and store and store.resolve() != given.resolve():
        raise UserError(f"store={store}: data.root={wanted.root} already holds a store, {given}")
    return given


def _new(wanted: StoreRequest, folder: Path, store: Path | None) -> Path:
    """Where the photographs in ``folder`` are stored: apart from them, as a store replaces them."""
    if store is None:
        return wanted.cached_store(folder)
    place = store.resolve()
    apart = [base.resolve() for base in (wanted.root, wanted.root / wanted.name, folder)]
    splits = [(folder / split).resolve() for split in SPLITS]
    if place in apart or any(place.is_relative_to(split) for split in splits):
        raise UserError(f"store={store}: holds the photographs; choose another folder")
    return store


@contextmanager
def _as_data_error(place: Path) -> Iterator[None]:
    """Turn an unreadable folder, a full disk or a killed process into a :class:`DataError`.

    Args:
        place: the path to name if the error names no file.
    """
    try:
        yield
    except OSError as error:
        raise DataError(f"{error.filename or place}: {error.strerror or error}") from None
    except BrokenProcessPool:
        raise DataError(
            f"{place}: a process that stores photographs was killed, perhaps for lack of memory"
        ) from None


def _check(store: ImageStore, wanted: StoreRequest) -> None:
    """Raise DataError if a store does not match the config."""
    if store.stored_as != wanted.stored_as:
        raise DataError(
            f"{store.root}: stored with {store.stored_as}, but data asks for {wanted.stored_as}"
        )
    check_classes(store.root, len(store.classes), wanted.num_classes)
    check_images(wanted.name, store.counts, wanted.images)


def _listed(folder: Path, wanted: StoreRequest) -> dict[str, Listing]:
    listing = list_images(folder, wanted.num_classes)
    check_images(wanted.name, _counts(listing), wanted.images)
    return listing


def _counts(listing: dict[str, Listing]) -> dict[str, int]:
    return {split: sum(map(len, files.values())) for split, files in listing.items()}


def _make(store: Path, folder: Path, wanted: StoreRequest) -> None:
    """Make the store of a folder, unless there is one that matches the folder's current state."""
    store.mkdir(parents=True, exist_ok=True)
    with FileLock(store / ".lock"):
        made_from = _fingerprint(folder, wanted.stored_as)
        if _made_from(store) != made_from:
            listing = _listed(folder, wanted)
            parts = parts_of(listing, store)
            _check_disk(store, cost_of(parts, wanted.stored_as))
            make_parts(parts, wanted.stored_as)
            _write_index(store, parts, wanted.stored_as, made_from)


def _made_from(store: Path) -> str | None:
    """What a store was made from; None if it is missing or unreadable."""
    try:
        return ImageStore(store).made_from
    except DataError:
        return None


def _fingerprint(folder: Path, stored_as: StoredFormat) -> str:
    """A digest that changes when files are added, removed or renamed, and when labels change."""
    splits = [folder / split for split in SPLITS]
    folders = splits + [split / name for split in splits for name in class_folders(split)]
    state = [(str(f.relative_to(folder)), f.stat().st_mtime_ns) for f in folders]
    labels = [(path.name, sha256(path)) for path in truth_files(folder)]
    return digest(state + labels, stored_as)


def _check_disk(store: Path, cost: Cost) -> None:
    free = shutil.disk_usage(nearest_existing(store)).free
    if (most := cost.bytes * (1 + UNCERTAINTY)) > free:
        raise DataError(f"{store}: needs up to {size(most)}, but only {size(free)} are free")


def _write_index(store: Path, parts: list[Part], stored_as: StoredFormat, made_from: str) -> None:
    indices = {
        split: [read_part_index(part.path) for part in parts if part.split == split]
        for split in SPLITS
    }
    index = {
        "format": FORMAT,
        "made_from": made_from,
        "shrinking": asdict(stored_as),
        "classes": [part.name for part in parts if part.split == "train"],
        "counts": {split: sum(len(i.ends) for i in found) for split, found in indices.items()},
        "bytes": sum(part.path.stat().st_size for part in parts),
        "checksums": {split: [i.checksum for i in found] for split, found in indices.items()},
    }
    write_atomically(store / INDEX, json.dumps(index).encode())
    found = {path for split in SPLITS for path in (store / split).glob("*.safetensors")}
    for path in found - {part.path for part in parts}:
        if part_made_from(path) is not None:
            path.unlink()  # Of a class that no longer exists.
