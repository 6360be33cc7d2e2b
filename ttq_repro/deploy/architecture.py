"""The networks that a packed file may hold, and their float tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from ttq_repro import models
from ttq_repro.quantizers.attach import QUANTIZABLE

MODELS = {name: getattr(models, name) for name in models.__all__}


def skeleton(architecture: str, arguments: dict[str, Any]) -> nn.Module:
    """A network of ``ttq_repro.models`` without storage (on the meta device), in evaluation mode.

    Raises:
        ValueError: there is no such class, it does not take these arguments, or they leave a layer
            without weights.
    """
    if architecture not in MODELS:
        raise ValueError(f"architecture {architecture!r} is not one of {', '.join(MODELS)}")
    for name, value in arguments.items():
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"argument {name} of {architecture} is {value!r}, not a finite number")
    try:
        with torch.device("meta"), _WithoutSampling():
            network = MODELS[architecture](**arguments).eval()
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise ValueError(f"{architecture} cannot be built with {arguments}: {error}") from None
    for name, parameter in network.named_parameters():
        if parameter.numel() == 0:
            raise ValueError(f"{architecture} with {arguments} has no weights in {name}")
    return network


def class_count(network: nn.Module) -> int:
    """The number of classes of a network of ``ttq_repro.models``: its last layer's width."""
    *_, last = (module for module in network.modules() if isinstance(module, nn.Linear))
    return last.out_features


class Slot(NamedTuple):
    """A float tensor of a packed network: the part that stores it, and where it belongs."""

    part: str
    module: str
    tensor: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return math.prod(self.shape)


def slots(network: nn.Module, quantized: Collection[str], *, folded: bool) -> Iterator[Slot]:
    """The float tensors of a network in the order in which a file stores them.

    Part ``floats`` holds biases, and the weights of layers that are not ``quantized``. Part
    ``batch_norm`` holds weight, bias, running_mean and running_var of each batch norm, unless
    ``folded``. Folding removes a batch norm that follows a layer (:func:`normalized_layers`); the
    part then holds a bias of that layer and, if the layer is quantized, a factor for the levels of
    each filter. All other batch norms then keep only weight and bias; their mean is 0 and their
    variance 1.
    """
    followed = normalized_layers(network) if folded else {}
    absorbed = set(followed.values())
    for name, module in network.named_modules():
        if isinstance(module, QUANTIZABLE):
            out = len(module.weight)
            if name not in quantized:
                yield Slot("floats", name, "weight", tuple(module.weight.shape))
            elif name in followed:
                yield Slot("batch_norm", name, "factor", (out,))
            if name in followed:
                yield Slot("batch_norm", name, "bias", (out,))
            elif module.bias is not None:
                yield Slot("floats", name, "bias", (out,))
        elif isinstance(module, _BatchNorm) and name not in absorbed:
            tensors = ["weight", "bias"] + ([] if folded else ["running_mean", "running_var"])
            for tensor in tensors:
                yield Slot("batch_norm", name, tensor, (module.num_features,))


def normalized_layers(network: nn.Module) -> dict[str, str]:
    """The convolutions and linear layers whose output goes to a batch norm and nowhere else.

    Returns:
        The name of each such batch norm, by that of its layer.
    """
    modules = dict(network.named_modules())
    found = {}
    for node in traced(network).nodes:
        if isinstance(called(node, modules), _BatchNorm):
            (source,) = node.all_input_nodes
            if isinstance(called(source, modules), QUANTIZABLE) and len(source.users) == 1:
                found[str(source.target)] = str(node.target)
    return found


def traced(network: nn.Module) -> fx.Graph:
    """What a network of ``ttq_repro.models`` calls; its layers are those modules without children.

    ``torch.fx.symbolic_trace`` replaces ``nn.Module.__call__`` while it traces, for all threads, so
    that others could not compute meanwhile. This only gives the layers of ``network`` another
    ``forward`` for the moment.
    """
    graph = fx.Graph()
    tracer = fx.proxy.GraphAppendingTracer(graph)
    layers = {n: module for n, module in network.named_modules() if not any(module.children())}
    try:
        for name, layer in layers.items():
            layer.forward = _recorder(tracer, name)
        out = network(fx.Proxy(graph.placeholder("images"), tracer))
    finally:
        for layer in layers.values():
            del layer.forward
    graph.output(out.node)
    return graph


def called(node: fx.Node, modules: dict[str, nn.Module]) -> nn.Module | None:
    """The one of ``modules``, by their names, that a node calls; None if it calls none."""
    return modules[str(node.target)] if node.op == "call_module" else None


def _recorder(tracer: fx.proxy.TracerBase, name: str) -> Callable[[fx.Proxy], fx.Proxy]:
    return lambda x: tracer.create_proxy("call_module", name, (x,), {})


def scale_and_shift(norm: _BatchNorm) -> tuple[Tensor, Tensor]:
    """The affine map ``x * scale + shift`` that a trained batch norm applies in evaluation mode.

    In float64, so that folding rounds only once. Shapes: (channels,) each.
    """
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    return scale, norm.bias.double() - norm.running_mean.double() * scale


class _WithoutSampling(TorchFunctionMode):
    """Skips random initialization: on meta tensors, it would do nothing but slow down imports."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if function in (Tensor.normal_, Tensor.uniform_):
            return args[0]
        return function(*args, **(kwargs or {}))
