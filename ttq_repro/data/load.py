"""Loading the data set that a config's data node describes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ttq_repro.data.array_source import ArraySource
from ttq_repro.data.cifar10 import load_cifar10
from ttq_repro.data.digits import load_digits
from ttq_repro.data.node import (
    check_classes,
    check_images,
    image_size,
    is_of_photographs,
    root_of,
)
from ttq_repro.data.photograph_source import PhotographSource
from ttq_repro.data.prepare import StoreRequest, open_store
from ttq_repro.data.source import DataSource
from ttq_repro.errors import UserError, as_user_error
from ttq_repro.instantiation import instantiated


def load_data(
    node: dict[str, Any], cache: Path, workers: int, *, whole: bool = False
) -> DataSource:
    """The data set that a node of ``configs/data`` describes.

    Args:
        cache: where decoded arrays and prepared photographs are kept.
        workers: number of processes that decode photographs.
        whole: whether to require as many images as ``node["images"]`` says.

    Raises:
        UserError: the data set is unknown, or its ``held_out`` or ``crop`` is not possible.
        DataError: files are missing or damaged, or the number of classes or images is wrong.
    """
    if is_of_photographs(node):
        if "held_out" in node:
            raise UserError("data.held_out: photographs cannot be held out yet; leave it unset")
        crop, _ = image_size(node)
        augmentation = instantiated("data.augmentation", node["augmentation"])
        with as_user_error(f"data.augmentation at data.crop={crop}"):
            augmentation(crop, crop, crop, np.random.default_rng())
        store = open_store(StoreRequest.of(node, cache, whole=whole))
        return PhotographSource(
            node["name"], store, crop=crop, augmentation=augmentation, workers=workers
        )
    if node["name"] == "digits":
        arrays = load_digits()
    elif node["name"] == "cifar10":
        arrays = load_cifar10(root_of(node), cache)
        if whole:
            found = {"train": len(arrays.train_labels), "val": len(arrays.test_labels)}
            check_images(node["name"], found, node.get("images"))
    else:
        raise UserError(f"data.name={node['name']}: must be cifar10 or digits")
    if "held_out" in node:
        try:
            arrays = arrays.held_out(node["held_out"])
        except (TypeError, ValueError) as error:
            raise UserError(f"data.held_out={node['held_out']}: {error}") from None
    check_classes(arrays.name, len(arrays.classes), node["num_classes"])
    return ArraySource(arrays, pad=node["pad"], flip=node["flip"])
