"""Turning any trained model into one for inference, in place."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ttq_repro.deploy.loading import all_levels, layer_of_codes
from ttq_repro.deploy.packed import Layer
from ttq_repro.deploy.packing import pack_layer
from ttq_repro.deploy.runtime import PackedConv2d
from ttq_repro.quantizers import QuantizedLayer, quantized_layers, remove_quantizer


@torch.no_grad()
def convert_(model: nn.Module) -> list[str]:
    """Replace the quantized layers of a trained model by layers that hold codes, in place.

    Ternary and binary layers then hold two bits per weight, and compute with them as those of
    :func:`ttq_repro.deploy.load` do. Layers that the runtime's operators do not cover
    (:func:`ttq_repro.deploy.runtime.covers`) hold codes that are unpacked in every call. Layers
    whose quantizer evaluates with float weights keep these as plain weights. The model is left in
    evaluation mode, and none of its parameters requires gradients. Hooks of packed layers are lost.
    If this function raises a ValueError, all layers are as they were.

    The ``state_dict()`` has the same keys on every machine. It can be loaded into a model that
    went through ``quantize_``, with the same arguments, and this function. Deep Compression, which
    has codes only after its last stage, first needs the ``state_dict()`` of the quantized model.

    Args:
        model: any model whose layers were given quantizers by
            :func:`ttq_repro.quantizers.quantize_`, but not itself one of these layers.

    Returns:
        The names of the layers that hold codes, in the model's order.

    Raises:
        ValueError: no layer is quantized, or the model is itself the layer, or a layer's weights
            are not those that its codes and levels stand for.
    """
    quantized = quantized_layers(model)
    if not quantized:
        raise ValueError(f"no layer of {type(model).__name__} is quantized")
    if quantized[0].module is model:
        raise ValueError("the model is itself a layer; convert a module that contains it")
    model.eval()
    packed = [(layer, pack_layer(layer)) for layer in quantized]
    made = {layer.module: _converted(layer, of_codes) for layer, of_codes in packed}
    # A layer may have several names.
    for name, module in list(model.named_modules(remove_duplicate=False)):
        if module in made:
            model.set_submodule(name, made[module])
    model.eval().requires_grad_(False)
    return [layer.name for layer, of_codes in packed if of_codes is not None]


def _converted(
    quantized: QuantizedLayer, of_codes: tuple[Layer, Tensor, Tensor] | None
) -> nn.Module:
    """What takes the place of a layer; it may be the same module without its quantizer."""
    module, latent = quantized.module, quantized.latent
    remove_quantizer(module, keep_quantized=of_codes is None)
    if of_codes is None:
        return module
    layer, codes, stored = of_codes
    made = layer_of_codes(module, layer, codes, all_levels(layer, stored))
    if isinstance(made, PackedConv2d):
        made.follows_input = True  # The model may depend on it, for example by ``view``.
    # Packed layers stay in float32, as their levels and scales are not the weights themselves.
    return made.to(latent) if made is module else made.to(latent.device)
