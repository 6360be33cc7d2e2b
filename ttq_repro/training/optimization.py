"""Recipes: optimizer, schedule, and which parameters decay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from hydra.utils import get_class
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from ttq_repro.quantizers import quantized_layers
from ttq_repro.quantizers.attach import QUANTIZABLE


@dataclass(frozen=True)
class Recipe:
    """A recipe node of the configs.

    Attributes:
        optimizer, schedule: ``_target_`` and keyword arguments of a class of torch's; a
            schedule's units are epochs, but for ``OneCycleLR``, which moves every step.
    """

    name: str
    parent: str
    epochs: int
    batch_size: int
    optimizer: dict[str, Any]
    schedule: dict[str, Any]


def optimizer_and_schedule(network: nn.Module, recipe: Recipe, steps: int) -> dict[str, Any]:
    """Optimizer and learning-rate schedule in the form Lightning wants.

    Weight decay goes to the (latent) weights of convolutions and linear layers and to the
    quantizer parameters that ask for it; not to batch norm and biases.
    """
    optimizer_class = get_class(recipe.optimizer["_target_"])
    decayed, rest = split_by_decay(network)
    optimizer = optimizer_class(
        [{"params": decayed}, {"params": rest, "weight_decay": 0.0}], **_arguments(recipe.optimizer)
    )
    schedule_class = get_class(recipe.schedule["_target_"])
    every_step = issubclass(schedule_class, OneCycleLR)
    length = {"total_steps": steps} if every_step else {}
    schedule = schedule_class(optimizer, **length, **_arguments(recipe.schedule))
    interval = "step" if every_step else "epoch"
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": interval}}


def split_by_decay(network: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The parameters that weight decay applies to, and the others."""
    latent = {layer.module: layer for layer in quantized_layers(network)}
    decayed: list[nn.Parameter] = []
    for module in network.modules():
        if module in latent:
            decayed += [latent[module].latent, *latent[module].quantizer.decayed()]
        elif isinstance(module, QUANTIZABLE):
            decayed.append(cast(nn.Parameter, module.weight))
    chosen = {id(parameter) for parameter in decayed}
    return decayed, [p for p in network.parameters() if id(p) not in chosen]


def _arguments(node: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in node.items() if key != "_target_"}
