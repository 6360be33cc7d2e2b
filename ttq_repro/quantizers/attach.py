"""Attaching quantizers to chosen layers of any model, and finding them again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import nn
from torch.nn.utils import parametrize

from ttq_repro.quantizers.base import Quantizer, check_latent

QUANTIZABLE = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


class Decision(NamedTuple):
    """What a policy decided about one layer, and why."""

    name: str
    module: nn.Module
    quantize: bool
    reason: str

    @property
    def weights(self) -> int:
        """The number of weights in the layer, without biases."""
        return _weight(self.module).numel()


Policy = Callable[[nn.Module], list[Decision]]


@dataclass(frozen=True)
class FirstLast:
    """Quantize every convolution and linear layer, with a choice for the first and the last.

    First and last refer to the order in which the model registers its layers.

    Args:
        quantize_first: whether the first such layer is quantized.
        quantize_last: whether the last such layer is quantized.
    """

    quantize_first: bool = False
    quantize_last: bool = True

    def __call__(self, model: nn.Module) -> list[Decision]:
        layers = list(_layers(model))
        decisions = []
        for index, (name, module) in enumerate(layers):
            if index == 0 and not self.quantize_first:
                decisions.append(Decision(name, module, False, "first layer"))
            elif index == len(layers) - 1 and not self.quantize_last:
                decisions.append(Decision(name, module, False, "last layer"))
            else:
                decisions.append(Decision(name, module, True, type(module).__name__))
        return decisions


def all_but(*float_modules: nn.Module) -> Policy:
    """A policy that quantizes every convolution and linear layer except the given modules.

    Raises:
        ValueError: (when applied) one of the modules is no layer of the model that can be
            quantized.
    """

    def policy(model: nn.Module) -> list[Decision]:
        layers = list(_layers(model))
        kept = {id(module) for module in float_modules}
        if missing := kept - {id(module) for _, module in layers}:
            strangers = [type(m).__name__ for m in float_modules if id(m) in missing]
            raise ValueError(f"no layers of this model that can be quantized: {strangers}")
        return [
            Decision(
                name, module, id(module) not in kept, "named" if id(module) in kept else "rest"
            )
            for name, module in layers
        ]

    return policy


def quantize_(
    model: nn.Module, factory: Callable[[], Quantizer], policy: Policy | None = None
) -> list[Decision]:
    """Attach a fresh quantizer to every layer that the policy chooses, in place.

    The layer's float weight becomes the latent weight and remains a parameter; ``layer.weight`` now
    returns the quantized weight. Load pretrained weights before this call, not after. Some methods
    also need the training loop to call ``on_epoch_start`` and ``after_step``. If this function
    raises an exception, the model is left as it was.

    Convolutions are those of one to three dimensions. Transposed ones stay float, as do weights
    that are parameters of other modules, such as ``in_proj_weight`` of ``nn.MultiheadAttention``.

    Args:
        model: any network of convolutions and linear layers.
        factory: called without arguments once per layer, such as ``TTQ`` or
            ``partial(TTQ, threshold=0.1)``.
        policy: chooses the layers; by default all but the first (:class:`FirstLast`).

    Returns:
        The decision about every convolution and linear layer, in the order of the model.

    Raises:
        ValueError: the policy chooses no layer, or one layer twice; or the factory makes one
            quantizer twice; or a chosen layer is already quantized, or its weight is not a
            parameter of the layer, not initialized, empty or not finite.
        TypeError: a module is not a convolution or linear layer, a weight is not floating point,
            or the factory is a quantizer or does not make quantizers.
    """
    decisions = (policy or FirstLast())(model)
    chosen = [decision for decision in decisions if decision.quantize]
    if not chosen:
        raise ValueError(
            f"the policy chose none of the {len(decisions)} layers of {type(model).__name__}"
        )
    taken: set[nn.Module] = set()
    for decision in chosen:
        if decision.module in taken:
            raise ValueError(f"{decision.name}: chosen twice by the policy")
        taken.add(decision.module)
        if not isinstance(decision.module, QUANTIZABLE):
            kind = type(decision.module).__name__
            raise TypeError(f"{decision.name}: {kind} is not a convolution or linear layer")
        if parametrize.is_parametrized(decision.module, "weight"):
            raise ValueError(f"{decision.name}: the weight is already quantized or parametrized")
        try:
            _check_weight(decision.module)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{decision.name}: {error}") from None
    if isinstance(factory, Quantizer):
        kind = type(factory).__name__
        raise TypeError(
            f"every layer needs a quantizer of its own: pass {kind} or lambda: {kind}(...)"
        )
    quantizers = [factory() for _ in chosen]
    for quantizer in quantizers:
        if not isinstance(quantizer, Quantizer):
            raise TypeError(f"the factory made a {type(quantizer).__name__}, not a quantizer")
    if len(set(quantizers)) < len(quantizers):
        raise ValueError("the factory made the same quantizer twice; every layer needs its own")
    originals = {one.module: _weight(one.module).detach().clone() for one in chosen}
    try:
        for decision, quantizer in zip(chosen, quantizers, strict=True):
            weight = _weight(decision.module)
            quantizer.to(weight.device)
            with torch.no_grad():
                quantizer.initialize(weight)
            parametrize.register_parametrization(decision.module, "weight", quantizer)
    except Exception:
        for module, original in originals.items():
            if parametrize.is_parametrized(module, "weight"):
                remove_quantizer(module, keep_quantized=False)
            _weight(module).data.copy_(original)
        raise
    return decisions


class QuantizedLayer(NamedTuple):
    """One quantized layer of a model: its name, module and quantizer."""

    name: str
    module: nn.Module
    quantizer: Quantizer

    @property
    def latent(self) -> nn.Parameter:
        """The latent weight: read anew, as ``load_state_dict(..., assign=True)`` replaces it."""
        chain = cast(nn.ModuleDict, self.module.parametrizations)["weight"]
        return cast(nn.Parameter, chain.original)


def quantized_layers(model: nn.Module) -> list[QuantizedLayer]:
    """Every layer of the model that carries a quantizer, in the model's order."""
    found = []
    for name, module in model.named_modules():
        if not parametrize.is_parametrized(module, "weight"):
            continue
        quantizer = module.parametrizations["weight"][0]
        if isinstance(quantizer, Quantizer):
            found.append(QuantizedLayer(name, module, quantizer))
    return found


def remove_quantizer(module: nn.Module, *, keep_quantized: bool) -> None:
    """Give a quantized layer a plain weight again; copies of the layer stay as they are.

    Args:
        keep_quantized: whether that is the quantized weight; otherwise it is the latent one.
    """
    # A deep copy shares the class that torch has made for the layer, and takes ``weight`` from.
    shared = type(module)
    module.__class__ = type(shared.__name__, shared.__bases__, dict(vars(shared)))
    parametrize.remove_parametrizations(module, "weight", leave_parametrized=keep_quantized)


def _weight(module: nn.Module) -> nn.Parameter:
    return module.weight  # type: ignore[return-value]


def _check_weight(module: nn.Module) -> None:
    """Refuse a layer whose weight cannot become a latent weight.

    Raises:
        TypeError: the weight is not a floating-point tensor.
        ValueError: the weight is not a parameter of the layer, not initialized, empty or not
            finite.
    """
    weight = dict(module.named_parameters(recurse=False)).get("weight")
    if weight is None:
        # torch's older weight_norm, spectral_norm and pruning recompute the weight in each call.
        raise ValueError("the weight is not a parameter of the layer")
    if weight.is_meta or isinstance(weight, nn.UninitializedParameter):
        raise ValueError("the weight is not initialized")
    check_latent(weight)


def _layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, module in model.named_modules():
        if isinstance(module, QUANTIZABLE):
            yield name, module
