"""Loading a packed file as a network whose ternary layers stay packed in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import parametrize

from ttq_repro.allocator import lacks_memory
from ttq_repro.checks import check_choice
from ttq_repro.deploy.architecture import normalized_layers, skeleton, slots, traced
from ttq_repro.deploy.bits import unpack_bits
from ttq_repro.deploy.format import parse
from ttq_repro.deploy.fusing import fuse
from ttq_repro.deploy.packed import Layer, PackedNetwork
from ttq_repro.deploy.runtime import PackedConv2d, covers, packed_layer, runtime
from ttq_repro.errors import PackedFileError, UserError

#: Weights unpacked at a time, a multiple of 8. Besides the dense weight, unpacking needs a few
#: times this many bytes.
CHUNK = 2**19

#: Adds nothing to a variance of one, in float32 or float64; torch 2.11 refuses an epsilon of zero.
NO_EPS = 1e-30

Weights = Literal["auto", "packed", "unpacked", "dense"]


def load(path: str | Path, weights: Weights = "auto") -> nn.Module:
    """The network in a packed file, in evaluation mode.

    It maps normalized images (batch, 3, H, W) to logits (batch, classes). Nothing in the file is
    executed: it names a class of ``ttq_repro.models`` and holds numbers.

    The network is for inference: its weights are constants. Call it in ``torch.inference_mode()``,
    which saves the runtime's operators a detour through autograd in Python. They have no
    derivative, so that a backward pass through them raises RuntimeError. Layers that torch computes
    have gradients with respect to images: all layers with ``weights="dense"`` or ``"unpacked"``;
    else those that are unpacked, and those of inputs other than float32 on a CPU, or of
    convolutions on a GPU that are not compiled.

    Args:
        weights: as in :func:`build`.

    Raises:
        ValueError: ``weights`` is unknown.
        UserError: the file cannot be read, or there is not enough memory.
        PackedFileError: the file is not a packed network, or was damaged or altered.
    """
    return open_packed(path, weights)[1]


def open_packed(path: str | Path, weights: Weights = "auto") -> tuple[PackedNetwork, nn.Module]:
    """The contents of a packed file, and the network that :func:`load` returns.

    Raises: as :func:`load`.
    """
    check_choice("weights", weights, Weights)
    try:
        packed = _parsed(path)
        return packed, build(packed, weights)
    except (MemoryError, RuntimeError) as error:
        if lacks_memory(error):
            raise UserError(f"{path}: not enough memory to load it") from None
        raise


def _parsed(path: str | Path) -> PackedNetwork:
    try:
        return parse(Path(path).read_bytes())
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise PackedFileError(f"{path}: {error}") from None


def build(packed: PackedNetwork, weights: Weights = "auto") -> nn.Module:
    """The network that ``packed`` describes, in evaluation mode.

    Args:
        weights: what quantized layers hold and compute with. ``packed``: two bits a weight, which
            the runtime's operators read directly; layers that these do not cover
            (:func:`ttq_repro.deploy.runtime.covers`) are unpacked. ``unpacked``: the codes of the
            file, from which each call makes a temporary dense float32 weight. ``dense``: that
            weight, made once and kept. ``auto``: packed if the runtime can use vector instructions
            of this processor, else unpacked.
    """
    check_choice("weights", weights, Weights)
    network = skeleton(packed.architecture, packed.arguments)
    graph = traced(network)
    factors = _fill(network, packed)
    for layer, codes, stored in zip(packed.layers, packed.codes, packed.levels, strict=True):
        module = network.get_submodule(layer.name)
        levels, factor = all_levels(layer, stored), factors.get(layer.name)
        made = layer_of_codes(module, layer, codes, levels, factor, weights)
        network.set_submodule(layer.name, made)
    network.eval().requires_grad_(False)
    if any(isinstance(module, PackedConv2d) for module in network.modules()):
        # Then dense convolutions return the memory format that packed ones read without reordering.
        return fuse(network.to(memory_format=torch.channels_last), graph)
    return network


def layer_of_codes(
    module: nn.Module,
    layer: Layer,
    codes: Tensor,
    levels: Tensor,
    factor: Tensor | None = None,
    weights: Weights = "packed",
) -> nn.Module:
    """A layer that computes from codes: a packed one, or ``module`` itself with another weight.

    Args:
        module: the layer in torch's form. Its weight is not read.
        codes: as in ``PackedNetwork.codes``.
        levels: as :func:`all_levels` returns them.
        factor: (filters), multiplies the levels of each filter; by default 1.
        weights: as in :func:`build`.
    """
    if _stays_packed(weights) and covers(module, layer):
        return packed_layer(module, layer, codes, levels, factor)
    table = levels if factor is None else levels * factor[:, None]
    weight = PackedWeight(layer.shape, layer.width, table)
    if weights == "dense":
        module.weight = nn.Parameter(weight(codes))
        return module
    del module.weight
    module.register_buffer("weight", codes.clone())
    parametrize.register_parametrization(module, "weight", weight, unsafe=True)
    return module


def _stays_packed(weights: Weights) -> bool:
    if weights != "auto":
        return weights == "packed"
    found = runtime()
    return found is not None and found.kernel != "portable"


class PackedWeight(nn.Module):
    """Makes the dense weight of one layer from its packed codes, whenever the layer reads it.

    Args:
        shape: the shape of the weight, (out, ...).
        width: bits of one code.
        levels: the weight that each code stands for, (1, levels) or (out, levels).

    Shapes: packed codes (bytes,) uint8 to the weight, in the levels' floating-point type.
    """

    levels: Tensor

    def __init__(self, shape: tuple[int, ...], width: int, levels: Tensor) -> None:
        super().__init__()
        self.shape = torch.Size(shape)
        self.width = width
        self.register_buffer("levels", levels)

    def forward(self, packed: Tensor) -> Tensor:
        levels = self.levels.flatten()
        weight = levels.new_empty(self.shape.numel())
        filters, columns = self.levels.shape
        for start, codes in zip(
            range(0, len(weight), CHUNK), packed.split(CHUNK * self.width // 8), strict=True
        ):
            chunk = weight[start : start + CHUNK]
            index = unpack_bits(codes, self.width)[: len(chunk)].int()
            if filters > 1:
                place = torch.arange(start, start + len(chunk), device=index.device)
                index += columns * (place // (len(weight) // filters)).int()
            torch.index_select(levels, 0, index, out=chunk)
        return weight.view(self.shape)

    def extra_repr(self) -> str:
        return f"{tuple(self.shape)}, {self.width} bits, {self.levels.shape[1]} levels"


def packed_weight(module: nn.Module) -> PackedWeight | None:
    """The module that makes a layer's dense weight at each read; None if the layer has none."""
    if not parametrize.is_parametrized(module, "weight"):
        return None
    (weight,) = module.parametrizations["weight"]  # type: ignore[index]
    return weight


def _fill(network: nn.Module, packed: PackedNetwork) -> dict[str, Tensor]:
    """Put the float tensors where they belong; return the factors of folded quantized layers."""
    places = list(slots(network, {layer.name for layer in packed.layers}, folded=packed.folded))
    if packed.folded:
        for name in normalized_layers(network).values():
            network.set_submodule(name, nn.Identity())
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.num_batches_tracked = packed.floats.new_zeros((), dtype=torch.int64)
            if packed.folded:
                module.running_mean = packed.floats.new_zeros(module.num_features)
                module.running_var = packed.floats.new_ones(module.num_features)
                module.eps = NO_EPS
    factors = {}
    for part, content in (("floats", packed.floats), ("batch_norm", packed.batch_norm)):
        here = [slot for slot in places if slot.part == part]
        for slot, flat in zip(here, content.split([slot.size for slot in here]), strict=True):
            # A copy, as several networks may be built from one file.
            value = flat.view(slot.shape).clone()
            if slot.tensor == "factor":
                factors[slot.module] = value
            elif slot.tensor.startswith("running"):
                setattr(network.get_submodule(slot.module), slot.tensor, value)
            else:
                parameter = nn.Parameter(value, requires_grad=False)
                setattr(network.get_submodule(slot.module), slot.tensor, parameter)
    return factors


def all_levels(layer: Layer, stored: Tensor) -> Tensor:
    """All levels, also those that are not stored, in ascending order of their codes.

    Shapes: as in ``PackedNetwork.levels``, to (1, levels) or (filters, levels).
    """
    above = stored if layer.symmetric else stored[:, layer.lower :]
    below = -stored.flip(1) if layer.symmetric else stored[:, : layer.lower]
    zero = stored.new_zeros(len(stored), int(layer.zero))
    return torch.cat([below, zero, above], 1)
