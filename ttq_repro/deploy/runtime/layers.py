"""Layers that hold 2-bit codes and compute with them directly."""

from __future__ import annotations

from typing import Any, Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ttq_repro.deploy.bits import unpack_bits
from ttq_repro.deploy.packed import Layer
from ttq_repro.deploy.runtime import operators  # noqa: F401 (registers them)
from ttq_repro.deploy.runtime.build import runtime
from ttq_repro.deploy.runtime.codes import (
    FILTERS_PER_BLOCK,
    Codes,
    Fused,
    Window,
    dense_conv2d,
    dense_linear,
    dense_weight,
)

MOST_LEVELS = 4
#: Looked up once, as each lookup takes as long as a small layer's arithmetic.
LINEAR, CONV2D = torch.ops.ternary.linear.default, torch.ops.ternary.conv2d.default


def covers(module: nn.Module, layer: Layer) -> bool:
    """Whether the operators support the layer: at most four levels, no dilation, zero padding.

    Not those of subclasses, which may compute something else.
    """
    if layer.levels > MOST_LEVELS:
        return False
    if type(module) is nn.Conv2d:
        zeros = module.padding_mode == "zeros" and not isinstance(module.padding, str)
        return zeros and module.dilation == (1, 1)
    return type(module) is nn.Linear


class _PackedLayer(nn.Module):
    """Holds ``codes.Codes`` as buffers; binary codes take two bits here, like ternary ones.

    It has the attributes of the layer that it replaces, such as ``in_features``.
    """

    words: Tensor
    levels: Tensor
    scales: Tensor
    bias: Tensor

    def __init__(self, codes: Codes, like: nn.Linear | nn.Conv2d) -> None:
        super().__init__()
        for name in like.__constants__:
            setattr(self, name, getattr(like, name))
        for name, tensor in codes._asdict().items():
            self.register_buffer(name, tensor)
        runtime()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        runtime()

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *others: Any) -> None:
        # With other scales, the same layer may have another number of terms.
        for name in ("levels", "scales"):
            own, given = getattr(self, name), state.get(prefix + name)
            if given is not None and given.shape[1:] == own.shape[1:]:
                self._buffers[name] = own.new_empty(given.shape)
        super()._load_from_state_dict(state, prefix, *others)

    @property
    def codes(self) -> Codes:
        # As attributes they take nn.Module four times as long to find.
        return Codes(*[self._buffers[name] for name in Codes._fields])  # type: ignore[arg-type]


class PackedLinear(_PackedLayer):
    """``nn.Linear`` of 2-bit weights. Shapes: (..., in_features) to (..., out_features)."""

    in_features: int
    out_features: int

    @property
    def weight(self) -> Tensor:
        """The dense weight, unpacked anew: for modules that read it instead of calling a layer."""
        return self.codes.unpacked()

    def forward(self, x: Tensor) -> Tensor:
        if _is_for_torch(x):
            return dense_linear(x, self.codes)
        return LINEAR(x, *self.codes)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}"


class PackedConv2d(_PackedLayer):
    """``nn.Conv2d`` of 2-bit weights, and what is fused into it (``fusing.py``).

    On a GPU cuDNN computes it, from a dense weight that is made once and kept until the module
    moves or loads a state dict.

    Shapes: (images, channels, height, width) or (channels, height, width) to (images, filters, ...)
    or (filters, ...).

    Attributes:
        norm, relu: as in ``codes.Fused``. Initially nothing is fused.
        follows_input: whether the output has the memory format of the input, like that of
            ``nn.Conv2d``. Otherwise it is in channels_last, which the operator writes.
    """

    norm: Tensor | None
    follows_input = False

    def __init__(self, codes: Codes, like: nn.Conv2d) -> None:
        super().__init__(codes, like)
        self.register_buffer("norm", None)
        self.relu = False
        self.window = Window(like.kernel_size, like.stride, like.padding, like.groups)  # type: ignore[arg-type]
        self._numbers = self.window.numbers
        self._dense: Tensor | None = None

    @property
    def weight(self) -> Tensor:
        """As :attr:`PackedLinear.weight`."""
        return dense_weight(self.codes, self.window)

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        if x.dim() == 3:
            return self(x[None], None if residual is None else residual[None])[0]
        if residual is not None and residual.dtype != x.dtype:
            residual = residual.to(x.dtype)  # Under autocast, float layers compute in another type.
        out = self._convolved(x, residual)
        return out.contiguous() if self.follows_input and not _is_channels_last(x) else out

    def _convolved(self, x: Tensor, residual: Tensor | None) -> Tensor:
        """The output in channels_last."""
        if _is_for_torch(x):
            weight = None
        elif _is_for_cudnn(x):
            weight = self._dense
            if weight is None:
                # A later call may need gradients through it.
                with torch.inference_mode(False):
                    weight = self._dense = dense_weight(self.codes, self.window)
        else:
            # Without making Codes and Fused of them, which takes a microsecond.
            own = self._buffers
            return CONV2D(
                *(x, own["words"], own["levels"], own["scales"], own["bias"]),
                *self._numbers, own["norm"], residual, self.relu,
            )  # fmt: skip
        fused = Fused(self.norm, residual, self.relu)
        return dense_conv2d(x, self.codes, self.window, fused, weight)

    def _apply(self, *arguments: Any, **options: Any) -> Self:
        self._dense = None
        return super()._apply(*arguments, **options)

    def _load_from_state_dict(self, *arguments: Any, **options: Any) -> None:
        self._dense = None
        super()._load_from_state_dict(*arguments, **options)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_dense": None}

    def extra_repr(self) -> str:
        return f"{len(self.bias)}, {self.window}, norm={self.norm is not None}, relu={self.relu}"


def _is_for_torch(x: Tensor) -> bool:
    """Whether torch must compute this: on a CPU the operators take only float32."""
    return x.is_cpu and x.dtype != torch.float32


def _is_channels_last(x: Tensor) -> bool:
    """Whether the memory format is channels_last, and not the usual one as well."""
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def _is_for_cudnn(x: Tensor) -> bool:
    """Whether cuDNN computes this from a dense weight; a compiled graph could not keep one."""
    return x.is_cuda and not torch.compiler.is_compiling()


def packed_layer(
    module: nn.Module, layer: Layer, packed: Tensor, levels: Tensor, factor: Tensor | None
) -> nn.Module:
    """A layer of a network in the runtime's form.

    Args:
        module: the layer in torch's form, accepted by :func:`covers`; its weight is not read.
        packed: its codes, as in ``PackedNetwork.codes``.
        levels: the weight that each code stands for, (1, levels) or (filters, levels).
        factor: (filters), multiplies the levels of each filter.
    """
    filters = layer.shape[0]
    index = unpack_bits(packed, layer.width)[: layer.weights].view(layer.shape)
    groups = 1
    if isinstance(module, nn.Conv2d):
        index = index.permute(0, 2, 3, 1)
        groups = module.groups
    bias = cast("Tensor | None", module.bias)
    codes = Codes(
        _words(index.reshape(groups, filters // groups, -1)),
        *_terms(levels, levels.new_ones(filters) if factor is None else factor),
        levels.new_zeros(filters) if bias is None else bias.detach().to(levels),
    )
    if isinstance(module, nn.Conv2d):
        return PackedConv2d(codes, module)
    return PackedLinear(codes, cast(nn.Linear, module))


def _words(index: Tensor) -> Tensor:
    """Pack 16 filters into each word. Shapes: (groups, filters, depth) uint8 to ``Codes.words``."""
    depth = index.shape[2]
    padded = F.pad(index, (0, 0, 0, -index.shape[1] % FILTERS_PER_BLOCK))
    blocks = padded.view(-1, FILTERS_PER_BLOCK, depth)
    words = index.new_zeros(len(blocks), depth, dtype=torch.int32)
    for lane in range(FILTERS_PER_BLOCK):
        words |= blocks[:, lane].int() << 2 * lane
    return words


def _terms(levels: Tensor, factor: Tensor) -> tuple[Tensor, Tensor]:
    """``Codes.levels`` and ``Codes.scales`` of weights ``factor * levels``."""
    missing = MOST_LEVELS - levels.shape[1]
    if len(levels) == 1:
        unit = _unit_for_bfloat16(levels)
        return F.pad(levels / unit, (0, missing)), (factor * unit)[None].contiguous()
    # One term per nonzero magnitude: {-a, +a} of BWN take a single one.
    terms: list[tuple[Tensor, Tensor]] = []
    for code, column in enumerate(levels.T):
        for unit, scale in terms:
            if torch.equal(column, scale) or torch.equal(column, -scale):
                unit[code] = 1 if torch.equal(column, scale) else -1
                break
        else:
            if column.any() or code == 0:
                unit = levels.new_zeros(MOST_LEVELS)
                unit[code] = 1
                terms.append((unit, column))
    units, scales = zip(*terms, strict=True)
    return torch.stack(units), torch.stack(scales) * factor


def _unit_for_bfloat16(levels: Tensor) -> Tensor:
    """A unit in which all levels are sums of two bfloat16 numbers, up to float32 rounding.

    AMX multiplies such sums. All weights of a level share its rounding error, so that relative to
    the result the error grows when products cancel.
    """
    exact, largest = levels.double(), levels.double().abs().max()
    if largest < torch.finfo(torch.float32).tiny:
        return levels.new_ones(())
    units = (largest / torch.arange(128, 256, device=levels.device)).float()
    scaled = exact / units[:, None].double()
    rest = scaled - scaled.bfloat16()
    missed = (rest - rest.bfloat16()).abs() / scaled.abs().amax(1, keepdim=True)
    return units[missed.amax(1).argmin()]
