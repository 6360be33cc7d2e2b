"""Calls that a training loop makes for a model's quantizers, and the optimizer's parameters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import nn
from torch.nn.utils import parametrize

from ttq_repro.quantizers.attach import QuantizedLayer, quantized_layers
from ttq_repro.quantizers.base import Quantizer


@torch.no_grad()
def on_epoch_start(layers: Iterable[QuantizedLayer], epoch: int, epochs: int) -> None:
    """Call this before epoch ``epoch`` (from 0) of ``epochs``.

    Deep Compression prunes and clusters here; without this call its weights remain float. The
    other methods do nothing.

    Args:
        layers: the model's :func:`quantized_layers`; the same list serves every epoch.
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
        layers: the model's :func:`quantized_layers`; the same list serves every step.
    """
    for layer in layers:
        layer.quantizer.after_step(layer.latent)


def parameter_groups(
    network: nn.Module,
    lr: float,
    weight_decay: float,
    decayed: tuple[type[nn.Module], ...] = (nn.Module,),
) -> list[dict[str, Any]]:
    """Parameter groups for a torch optimizer, each with its learning rate and weight decay.

    Weight decay applies to all parameters of two dimensions or more, which are weights, latent or
    float, and to those parameters of quantizers that :meth:`Quantizer.decayed` lists: TTQ's scales
    and Deep Compression's centroids decay; LSQ's step, SEQ's ranges, normalization and biases do
    not.

    Each group learns at ``lr`` times a factor, which is 1 except for BinaryConnect and
    TernaryConnect with ``rate_scaling``. The factor is meant for the gradient alone: weight decay
    is divided by it, so that each step shrinks weights as much as without the factor (except under
    Adam, which normalizes L2 together with the gradient).

    Args:
        decayed: restricts weight decay to layers of these classes.
    """
    layers = {layer.module: layer for layer in quantized_layers(network)}
    decays: set[nn.Parameter] = set()
    for module in network.modules():
        if not isinstance(module, decayed) or isinstance(module, Quantizer):
            continue
        holders = [module]
        if parametrize.is_parametrized(module):
            holders += cast(nn.ModuleDict, module.parametrizations).values()
        for holder in holders:
            decays |= {one for one in holder.parameters(recurse=False) if one.dim() > 1}
        if module in layers:
            decays |= {*layers[module].quantizer.decayed()}
    factors = {
        parameter: factor
        for layer in layers.values()
        for parameter, factor in layer.quantizer.rate_factors(layer.latent)
    }
    members: dict[tuple[float, float], list[nn.Parameter]] = {(1.0, weight_decay): []}
    for parameter in sorted(network.parameters(), key=lambda one: one not in decays):
        key = (factors.get(parameter, 1.0), weight_decay if parameter in decays else 0.0)
        members.setdefault(key, []).append(parameter)
    return [
        {"params": parameters, "lr": lr * factor, "weight_decay": own_decay / factor}
        for (factor, own_decay), parameters in members.items()
    ]
