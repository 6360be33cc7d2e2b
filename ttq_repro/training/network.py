"""Builds the network of a run from its config."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ttq_repro.checks import check_fields, check_option
from ttq_repro.errors import UserError, as_user_error
from ttq_repro.instantiation import instantiated
from ttq_repro.quantizers import (
    Decision,
    FullPrecision,
    quantize_,
    quantized_layers,
    remove_quantizer,
)
from ttq_repro.training.distillation import Distillation


def build_network(config: dict[str, Any], parent: dict[str, torch.Tensor] | None) -> nn.Module:
    """The float network of a run, with its parent's weights if it has one.

    Raises:
        UserError: there is no such network, it is no ``nn.Module``, or the weights belong to
            another one.
    """
    torch.manual_seed(config["seed"])
    classes = config["data"]["num_classes"]
    network = instantiated("model", _named(config["model"]), num_classes=classes)
    if not isinstance(network, nn.Module):
        raise UserError(f"model: a {type(network).__name__} is no torch.nn.Module")
    if parent is not None:
        try:
            network.load_state_dict(parent)
        except RuntimeError:
            raise UserError(
                f"the parent's weights do not fit a float {config['model']['name']}"
            ) from None
    return network


def attach_quantizer(network: nn.Module, config: dict[str, Any]) -> list[Decision]:
    """Quantize the layers of a network as a run's config specifies.

    Raises:
        UserError: the quantizer's options, the policy or the weights are unusable.
    """
    factory = instantiated("quantizer", _named(config["quantizer"]), _partial_=True)
    policy = instantiated("policy", config["policy"])
    with as_user_error(f"quantizer {config['quantizer']['name']}"):
        return quantize_(network, factory, policy)


def quantized_network(config: dict[str, Any]) -> nn.Module:
    """The network of a run with random weights and its quantizers attached.

    Raises:
        UserError: as :func:`build_network` and :func:`attach_quantizer`.
    """
    network = build_network(config, None)
    attach_quantizer(network, config)
    return network


def distillation_from(
    config: dict[str, Any], parent: dict[str, torch.Tensor] | None
) -> Distillation | None:
    """The loss that learns from the run's parent, or None if the run does not ask for it.

    Raises:
        UserError: the run has no parent, or an option is invalid.
    """
    if config["distillation"] is None:
        return None
    if parent is None:
        raise UserError("distillation: the teacher is the run's parent, but parent=none")
    check_option("distillation", config["distillation"], check_fields, ("weight", "temperature"))
    teacher = build_network(config, parent).to(memory_format=torch.channels_last)
    with as_user_error("distillation"):
        return Distillation(teacher, **config["distillation"])


def restore_float(network: nn.Module) -> None:
    """Restore the plain state-dict keys of full-precision layers, as runs that load them expect."""
    for layer in quantized_layers(network):
        if isinstance(layer.quantizer, FullPrecision):
            remove_quantizer(layer.module, keep_quantized=True)


def _named(node: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in node.items() if key != "name"}
