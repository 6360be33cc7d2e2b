"""What a training loop does for the quantizers of a model, beside running it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import nn

from ttq_repro.quantizers.attach import QUANTIZABLE, QuantizedLayer, quantized_layers


@torch.no_grad()
def on_epoch_start(layers: Iterable[QuantizedLayer], epoch: int, epochs: int) -> None:
    """To be called before epoch ``epoch`` (from 0) of ``epochs``.

    Deep Compression prunes and clusters here, and is a float method in a loop that leaves it out;
    BinaryConnect and TernaryConnect clip the weights they start from, and BWN centres and clamps
    them if it is told to. The others do nothing.

    Args:
        layers: those of the model, from :func:`quantized_layers`; once for all epochs.
    """
    for layer in layers:
        layer.quantizer.on_epoch_start(layer.latent, epoch, epochs)


@torch.no_grad()
def after_step(layers: Iterable[QuantizedLayer]) -> None:
    """To be called after every step of the optimizer.

    BinaryConnect and TernaryConnect clip their latent weights here, and BWN centres and clamps them
    if it is told to; LSQ, SEQ and ``TTQ(positive_scales=True)`` keep their scales above zero. The
    others do nothing.

    Args:
        layers: those of the model, from :func:`quantized_layers`; once for all steps.
    """
    for layer in layers:
        layer.quantizer.after_step(layer.latent)


def split_by_decay(
    network: nn.Module, kinds: tuple[type[nn.Module], ...] = QUANTIZABLE
) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The parameters that weight decay applies to, in layers of these kinds, and the others.

    To the weights, latent or float, and to what a method says of its own parameters: TTQ's scales
    decay, the step of LSQ and the ranges of SEQ do not; nor do batch norm and biases.
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
