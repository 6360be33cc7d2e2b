"""What a training loop must call for the quantizers of a model, besides running the model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import nn

from ttq_repro.quantizers.attach import QUANTIZABLE, QuantizedLayer, quantized_layers


@torch.no_grad()
def on_epoch_start(layers: Iterable[QuantizedLayer], epoch: int, epochs: int) -> None:
    """Call this before epoch ``epoch`` (from 0) of ``epochs``.

    Deep Compression prunes and clusters here; without this call its weights remain float.
    BinaryConnect and TernaryConnect clip their initial weights, and BWN centers and clamps them if
    configured to. The others do nothing.

    Args:
        layers: those of the model from :func:`quantized_layers`, which may be reused every epoch.
    """
    for layer in layers:
        layer.quantizer.on_epoch_start(layer.latent, epoch, epochs)


@torch.no_grad()
def after_step(layers: Iterable[QuantizedLayer]) -> None:
    """Call this after every optimizer step.

    BinaryConnect and TernaryConnect clip their latent weights here, and BWN centers and clamps them
    if configured to; LSQ, SEQ and ``TTQ(positive_scales=True)`` keep their scales above zero. The
    others do nothing.

    Args:
        layers: those of the model from :func:`quantized_layers`, which may be reused every step.
    """
    for layer in layers:
        layer.quantizer.after_step(layer.latent)


def split_by_decay(
    network: nn.Module, kinds: tuple[type[nn.Module], ...] = QUANTIZABLE
) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The parameters that weight decay applies to, in layers of these kinds, and all others.

    It applies to the weights, latent or float, and to the parameters that a quantizer declares
    ``decayed``: TTQ's scales decay; LSQ's step, SEQ's ranges, batch norm and biases do not.
    """
    latent = {layer.module: layer for layer in quantized_layers(network)}
    decayed: list[nn.Parameter] = []
    for module in network.modules():
        if not isinstance(module, kinds):
            continue
        if module in latent:
            decayed += [latent[module].latent, *latent[module].quantizer.decayed()]
        else:
            decayed.append(cast(nn.Parameter, module.weight))
    chosen = {id(parameter) for parameter in decayed}
    return decayed, [p for p in network.parameters() if id(p) not in chosen]
