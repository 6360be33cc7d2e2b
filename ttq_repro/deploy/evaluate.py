"""The test error of a packed network (configs/evaluate.yaml)."""

from __future__ import annotations

import time

from ttq_repro.checks import check_option, check_path
from ttq_repro.data.load import load_data
from ttq_repro.deploy.load import open_packed
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
    path = request["packed"]
    check_option("packed", path, check_path)
    packed, network = open_packed(path)
    inputs = packed.inputs
    data = load_data(request["data"], Workspace.of(request).cache, loader_workers("cpu"))
    for what, asked, found in (
        ("set of classes", inputs.classes, data.classes),
        ("image size", inputs.size, data.image_size),
    ):
        if asked != found:
            raise UserError(f"{path}: the {what} of {data.name} is not the network's")
    images = wrong = 0
    started = time.perf_counter()
    for batch, labels in data.test_loader():
        logits = logits_of(network, inputs.normalized(batch), path)
        wrong += int((logits.argmax(1) != labels).sum())
        images += len(labels)
    seconds = time.perf_counter() - started
    print(
        f"{path}: {100 * wrong / images:.2f}% test error ({wrong:,} of {images:,} images of "
        f"{data.name}), {images / seconds:,.0f} images/s"
    )
