"""What a packed network sees in a picture (configs/predict/predict.yaml)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ttq_repro.checks import check_option, check_path, check_whole, in_a_line
from ttq_repro.deploy.load import open_packed
from ttq_repro.deploy.packed import Inputs
from ttq_repro.errors import PackedFileError
from ttq_repro.pictures import opened, rgb
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
    try:
        with torch.inference_mode():
            logits = network(image[None])[0]
    except RuntimeError as error:
        # Only sums and matrices that do not fit tell that a file names images of a wrong size.
        size = " x ".join(map(str, packed.inputs.size))
        told = f"{request['model']}: no network for images of {size}, as it says"
        raise PackedFileError(f"{told}: {in_a_line(error)}") from None
    if not logits.isfinite().all():
        raise PackedFileError(f"{request['model']}: gives no finite logits for {request['image']}")
    probabilities = logits.softmax(0)
    for index in logits.argsort(descending=True)[: request["top"]]:
        print(f"{100 * probabilities[index]:5.1f}%  {packed.inputs.classes[index]}")


def read_image(path: Path, inputs: Inputs) -> Tensor:
    """An image file as the network reads it: its centre, resized and normalized.

    Shape: (3, height, width).

    Raises:
        DataError: the file is missing or no image.
    """
    height, width = inputs.size
    with opened(path) as image:
        fitted = ImageOps.fit(
            # A camera that was held upright says so beside the pixels.
            rgb(ImageOps.exif_transpose(image)),
            (width, height),
            Image.Resampling.BILINEAR,
            bleed=(1 - inputs.centre) / 2,
        )
    pixels = torch.from_numpy(np.array(fitted)).permute(2, 0, 1)
    mean, std = 255 * torch.tensor([inputs.mean, inputs.std])[:, :, None, None]
    return (pixels - mean) / std
