"""Convolutions of packed weights that take over what surrounds them."""

from __future__ import annotations

import operator

import torch
import torch.nn.functional as F
from torch import fx, nn

from ttq_repro.deploy.architecture import called, scale_and_shift
from ttq_repro.deploy.runtime import PackedConv2d

Modules = dict[str, nn.Module]


def fuse(network: nn.Module, graph: fx.Graph) -> fx.GraphModule:
    """A network whose packed convolutions do what would otherwise pass over their images again.

    Each takes over the sum with a residual and the ReLU that follow it, and the batch norm with
    ReLU that precede it, if nothing else reads the values between them.

    Args:
        network: in evaluation mode. Its layers, of which packed convolutions are changed, become
            those of the result. It calls each of them once, and adds only tensors of equal shapes.
        graph: what the network calls. It is changed, too.
    """
    modules = dict(network.named_modules())
    for node in list(graph.nodes):
        if isinstance(called(node, modules), nn.Identity):
            _replace(node, *node.all_input_nodes)
    for node in list(graph.nodes):
        convolution = called(node, modules)
        if isinstance(convolution, PackedConv2d):
            _take_over_what_precedes(node, convolution, modules)
            _take_over_what_follows(node, convolution, modules)
    # The modules that GraphModule makes to hold the layers are in training mode.
    return fx.GraphModule(network, graph, type(network).__name__).eval()


def _take_over_what_precedes(node: fx.Node, convolution: PackedConv2d, modules: Modules) -> None:
    (rectified,) = node.all_input_nodes
    if not _is_relu(rectified, modules) or len(rectified.users) > 1:
        return
    (normalized,) = rectified.all_input_nodes
    norm = called(normalized, modules)
    if not isinstance(norm, nn.BatchNorm2d) or len(normalized.users) > 1:
        return
    convolution.norm = torch.stack(scale_and_shift(norm)).float()
    node.args = normalized.args
    for passed in (rectified, normalized):
        node.graph.erase_node(passed)


def _take_over_what_follows(node: fx.Node, convolution: PackedConv2d, modules: Modules) -> None:
    total = _only_user(node)
    if total and total.target is operator.add and len(total.all_input_nodes) == 2:
        (residual,) = (value for value in total.all_input_nodes if value is not node)
        # The residual may be computed after the convolution.
        total.append(node)
        node.args = (*node.args, residual)
        _replace(total, node)
    rectified = _only_user(node)
    if rectified and _is_relu(rectified, modules):
        convolution.relu = True
        _replace(rectified, node)


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _replace(node: fx.Node, by: fx.Node) -> None:
    node.replace_all_uses_with(by)
    node.graph.erase_node(node)


def _is_relu(node: fx.Node, modules: Modules) -> bool:
    return node.target is F.relu or isinstance(called(node, modules), nn.ReLU)
