"""Classifying an image with a packed network (configs/predict/predict.yaml)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

from ttq_repro.allocator import lacks_memory
from ttq_repro.checks import check_option, check_path, check_whole
from ttq_repro.deploy.loading import open_packed
from ttq_repro.deploy.packed import Inputs
from ttq_repro.errors import PackedFileError, UserError, headline
from ttq_repro.pictures import opened, rgb, upright
from ttq_repro.runs.config import Config


def predict(request: Config) -> None:
    """Print the top classes of an image with their probabilities.

    Raises:
        UserError: the model or the image cannot be read, or an option is invalid.
    """
    check_option("top", request["top"], check_whole, 1)
    for key in ("model", "image"):
        check_option(key, request[key], check_path)
    packed, network = open_packed(request["model"])
    image = read_image(Path(request["image"]), packed.inputs)
    (logits,) = logits_of(network, image[None], model=request["model"], of=request["image"])
    probabilities = logits.softmax(0)
    for index in logits.argsort(descending=True)[: request["top"]]:
        print(f"{100 * probabilities[index]:5.1f}%  {packed.inputs.classes[index]}")


def logits_of(network: nn.Module, images: Tensor, *, model: str, of: str) -> Tensor:
    """The logits of normalized images, (batch, classes).

    Args:
        model, of: the file of the network and the origin of the images, for messages.

    Raises:
        UserError: there is not enough memory.
        PackedFileError: the network fails on images of this size, or its logits are not finite.
    """
    try:
        with torch.inference_mode():
            # Called itself, a torch.fx.GraphModule would print an error before raising it.
            logits: Tensor = network.forward(images)
    except (MemoryError, RuntimeError) as error:
        told = f"{of} at {' x '.join(map(str, images.shape[2:]))} pixels"
        if lacks_memory(error):
            raise UserError(f"{model}: not enough memory for {told}") from None
        # Shapes do not match if the file states a wrong image size.
        raise PackedFileError(f"{model}: fails on {told}: {headline(error)}") from None
    if not logits.isfinite().all():
        raise PackedFileError(f"{model}: its logits for {of} are not finite")
    return logits


def read_image(path: Path, inputs: Inputs) -> Tensor:
    """The image as the network takes it: its center, resized and normalized.

    Shape: (3, height, width).

    Raises:
        DataError: the file is missing or not an image.
    """
    height, width = inputs.size
    with opened(path) as image:
        fitted = ImageOps.fit(
            rgb(upright(image)),
            (width, height),
            Image.Resampling.BILINEAR,
            bleed=(1 - inputs.crop_fraction) / 2,
        )
    return inputs.normalized(torch.from_numpy(np.array(fitted)).permute(2, 0, 1))
