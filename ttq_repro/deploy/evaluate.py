"""The test error of a packed network (configs/evaluate.yaml)."""

from __future__ import annotations

from ttq_repro.allocator import keep_freed_memory
from ttq_repro.checks import check_option, check_path
from ttq_repro.data.load import load_data
from ttq_repro.data.node import image_size
from ttq_repro.deploy.loading import open_packed
from ttq_repro.deploy.predict import logits_of
from ttq_repro.errors import UserError
from ttq_repro.runs.config import Config
from ttq_repro.runs.hardware import loader_workers
from ttq_repro.runs.workspace import Workspace


def evaluate(request: Config) -> None:
    """Print the share of the test images that a packed network gets wrong.

    Raises:
        UserError: the network cannot be read or is not for these images, or an option is invalid.
        DataError: the data set is missing or damaged.
    """
    path, node = request["packed"], request["data"]
    check_option("packed", path, check_path)
    if "held_out" in node:
        raise UserError(
            "data.held_out: holds out training images, but evaluation needs test images"
        )
    packed, network = open_packed(path)
    inputs = packed.inputs
    asked, found = (len(inputs.classes), inputs.size), (node["num_classes"], image_size(node))
    if asked != found:  # Before hours may be spent on preparing the images.
        raise UserError(
            f"{path}: a network for {_told(*asked)}, but {node['name']} has {_told(*found)}"
        )
    data = load_data(node, Workspace.of(request).cache, loader_workers("cpu"))
    for number, (ours, theirs) in enumerate(zip(inputs.classes, data.classes, strict=True), 1):
        if ours != theirs:
            raise UserError(
                f"{path}: its class {number} is {ours}, but that of {data.name} is {theirs}"
            )
    keep_freed_memory()
    images = wrong = 0
    for batch, labels in data.test_loader():
        logits = logits_of(network, inputs.normalized(batch), model=path, of=data.name)
        wrong += int((logits.argmax(1) != labels).sum())
        images += len(labels)
    print(
        f"{path}: {100 * wrong / images:.2f}% test error ({wrong:,} of {images:,} images of "
        f"{data.name})"
    )


def _told(classes: int, size: tuple[int, int]) -> str:
    height, width = size
    return f"{classes} classes at {height} x {width} pixels"
