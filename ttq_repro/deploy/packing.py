"""Packing a trained network into codes, levels and a few floats."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ttq_repro.deploy.architecture import (
    Slot,
    class_count,
    normalized_layers,
    scale_and_shift,
    skeleton,
    slots,
)
from ttq_repro.deploy.bits import pack_bits
from ttq_repro.deploy.loading import PackedWeight
from ttq_repro.deploy.packed import Inputs, Layer, PackedNetwork
from ttq_repro.quantizers import QuantizedLayer, quantized_layers

#: What a module computes with besides its tensors; the first class that it belongs to counts.
OPTIONS: dict[type[nn.Module], tuple[str, ...]] = {
    nn.Conv2d: ("stride", "padding", "dilation", "groups", "padding_mode"),
    nn.MaxPool2d: ("kernel_size", "stride", "padding", "dilation", "ceil_mode"),
    _BatchNorm: ("eps",),
    nn.Module: (),
}


@torch.no_grad()
def pack(
    network: nn.Module,
    architecture: str,
    arguments: dict[str, Any],
    inputs: Inputs,
    *,
    fold: bool = False,
    provenance: dict[str, Any] | None = None,
) -> PackedNetwork:
    """Pack the network that evaluation uses, with every quantized layer as codes and levels.

    Layers whose quantizer evaluates with float weights stay float.

    Args:
        network: a trained network with its quantizers attached. It is left in evaluation mode.
        architecture: the name of its class in ``ttq_repro.models``.
        arguments: those that it was constructed with.
        fold: whether to fold batch norm. A convolution or linear layer absorbs a batch norm that is
            the only reader of its output: into its weights if they are float, into a factor for
            each filter's levels if they are codes. A batch norm before a ReLU and a convolution, as
            in pre-activation networks, cannot move past the ReLU; its four numbers per channel
            become two.

    Raises:
        ValueError: the network is not of this architecture, ``inputs`` is invalid or does not name
            each of its classes, or a layer's weights are not those that its codes and levels stand
            for; the message names the cause.
    """
    frame = skeleton(architecture, arguments)
    _check_alike(network, frame, f"{architecture} with {arguments}")
    network.eval()
    layers, codes, levels = [], [], []
    for quantized in quantized_layers(network):
        packed = pack_layer(quantized)
        if packed is not None:
            layers.append(packed[0])
            codes.append(packed[1])
            levels.append(packed[2])
    followed = normalized_layers(frame) if fold else {}
    values: dict[str, list[Tensor]] = {"floats": [], "batch_norm": []}
    for slot in slots(frame, {layer.name for layer in layers}, folded=fold):
        value = _value(network, slot, followed, fold=fold)
        values[slot.part].append(value.float().flatten())
    inputs.check(class_count(frame))
    return PackedNetwork(
        architecture=architecture,
        arguments=arguments,
        folded=fold,
        inputs=inputs,
        layers=layers,
        codes=codes,
        levels=levels,
        batch_norm=_concatenate(values["batch_norm"]),
        floats=_concatenate(values["floats"]),
        provenance=provenance or {},
    )


def _check_alike(network: nn.Module, frame: nn.Module, told: str) -> None:
    """Refuse a network that differs from ``frame`` in more than its quantizers and values."""
    needed = {name: tuple(tensor.shape) for name, tensor in frame.state_dict().items()}
    found = {
        name: tuple(tensor.shape)
        for name, tensor in network.state_dict().items()
        if ".parametrizations." not in name
    }
    found |= {
        f"{layer.name}.weight": tuple(layer.latent.shape) for layer in quantized_layers(network)
    }
    for name in needed | found:
        if name not in found:
            raise ValueError(f"the network has no {name}; {told} needs it")
        if name not in needed:
            raise ValueError(f"the network has a tensor {name}; {told} has none")
        if found[name] != needed[name]:
            raise ValueError(f"{name} has shape {found[name]}; {told} needs {needed[name]}")
    modules = {
        name: module
        for name, module in network.named_modules()
        if "parametrizations" not in name.split(".")
    }
    needed_modules = dict(frame.named_modules())
    if strangers := [name for name in modules if name not in needed_modules]:
        raise ValueError(f"the network has a module {strangers[0]}; {told} has none")
    for name, module in needed_modules.items():
        own = modules.get(name)
        if not isinstance(own, type(module)):  # Quantized layers are of subclasses.
            raise ValueError(
                f"{name or 'the network'} is a {type(own).__name__}; "
                f"{told} needs a {type(module).__name__}"
            )
        for option in next(names for kind, names in OPTIONS.items() if isinstance(module, kind)):
            ours, theirs = getattr(own, option), getattr(module, option)
            if ours != theirs:
                raise ValueError(f"{name} has {option} {ours}; {told} needs {theirs}")


def pack_layer(quantized: QuantizedLayer) -> tuple[Layer, Tensor, Tensor] | None:
    """A layer with its packed codes and its stored levels; None if it evaluates with floats.

    Raises:
        ValueError: its weights are not those that its codes and levels stand for.
    """
    name, module, quantizer = quantized
    latent = quantized.latent
    weight = cast(Tensor, module.weight).float().cpu()
    if not weight.isfinite().all():
        raise ValueError(f"{name}: not all of its weights are finite")
    codes, levels = quantizer.codes(latent), quantizer.levels(latent)
    if codes is None or levels is None:
        return None
    numbers = sorted(levels)
    # One row for the layer, or one for each filter; rounded as the layer rounds its weights.
    table = torch.stack([levels[n].to(latent).float().reshape(-1) for n in numbers], 1).cpu()
    lower = sum(n < 0 for n in numbers)
    below, above = table[:, :lower], table[:, len(numbers) - sum(n > 0 for n in numbers) :]
    symmetric = torch.equal(below.flip(1), -above)
    layer = Layer(
        name=name,
        method=type(quantizer).__name__,
        shape=tuple(latent.shape),
        lower=lower,
        zero=0 in levels,
        upper=above.shape[1],
        symmetric=symmetric,
        per_filter=len(table) > 1,
    )
    flat = codes.flatten().cpu()
    index = torch.searchsorted(flat.new_tensor(numbers), flat, out_int32=True)
    packed = pack_bits(index.clamp(max=len(numbers) - 1).to(torch.uint8), layer.width)
    wrong = int((PackedWeight(layer.shape, layer.width, table)(packed) != weight).sum())
    if wrong:
        raise ValueError(f"{name}: {wrong} of {layer.weights} weights match none of its levels")
    stored = above if symmetric else torch.cat([below, above], 1)
    return layer, packed, stored.contiguous()


def _value(network: nn.Module, slot: Slot, followed: dict[str, str], *, fold: bool) -> Tensor:
    """The value of a slot in the trained network, with batch norm folded if ``fold``."""
    module = network.get_submodule(slot.module)
    norm = network.get_submodule(followed.get(slot.module, slot.module))
    if not fold or not isinstance(norm, _BatchNorm):
        return getattr(module, slot.tensor)
    scale, shift = scale_and_shift(norm)
    if slot.tensor == "bias":
        own = None if module is norm else cast(Tensor | None, module.bias)
        return shift if own is None else shift + own * scale
    if slot.tensor == "factor" or module is norm:
        return scale
    return cast(Tensor, module.weight) * scale.view(-1, *[1] * (len(slot.shape) - 1))


def _concatenate(values: list[Tensor]) -> Tensor:
    nothing = torch.empty(0, dtype=torch.float32, device="cpu")
    return torch.cat([nothing, *(value.cpu() for value in values)])
