"""Untrained networks, packed as if trained, to measure size or speed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import nn

from ttq_repro.checks import check_list, check_option, check_whole
from ttq_repro.deploy.export import architecture_of
from ttq_repro.deploy.packed import Inputs, PackedNetwork
from ttq_repro.deploy.packing import pack
from ttq_repro.errors import as_user_error
from ttq_repro.quantizers import quantized_layers
from ttq_repro.runs.config import compose_config
from ttq_repro.runs.run import Run
from ttq_repro.training.network import quantized_network
from ttq_repro.training.preflight import check_shapes


class Packable(NamedTuple):
    """A network and the function that packs it; its ``fold`` says whether to fold batch norm."""

    network: nn.Module
    pack: Callable[..., PackedNetwork]


def untrained(overrides: list[str], side: int) -> Packable:
    """The network that a run starts from, to be packed with a header as long as a trained one's.

    Args:
        overrides: those of configs/train.yaml that describe the run.
        side: that of the image in pixels.

    Raises:
        UserError: an option is invalid, or the network cannot take images of this size.
    """
    check_option("overrides", overrides, check_list, may_be_empty=True)
    check_option("side", side, check_whole, 1)
    config = compose_config("train", overrides)
    network, classes = quantized_network(config), config["data"]["num_classes"]
    inputs = Inputs(
        size=(side, side),
        crop_fraction=1.0,
        mean=(1 / 3, 1 / 3, 1 / 3),
        std=(1 / 3, 1 / 3, 1 / 3),
        classes=tuple(f"class {index:04d}" for index in range(classes)),
    )
    with as_user_error(f"side={side}"):
        inputs.check(classes)
    check_shapes(network, (side, side), classes)
    _perturb_scales(network)
    provenance = {"run": Run(config).identity, "commit": "0" * 40, "weights_sha256": "0" * 64}
    model = architecture_of(config)
    return Packable(network, partial(pack, network, *model, inputs, provenance=provenance))


@torch.no_grad()
def _perturb_scales(network: nn.Module) -> None:
    """Make W_p and W_n differ, as training would; equal ones would be stored as one number."""
    for layer in quantized_layers(network):
        for number, scale in enumerate(layer.quantizer.parameters()):
            scale.mul_(1 + 0.01 * number)
