"""Magnitudes of a layer's weights: their mean, the largest, and a given number of smallest."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Granularity = Literal["layer", "filter"]


def dims_of(weight: Tensor, granularity: Granularity) -> tuple[int, ...]:
    """The dimensions that share one scale: all, or all but the first, which indexes filters."""
    return tuple(range(0 if granularity == "layer" else 1, weight.dim()))


def mean_magnitude(weight: Tensor, granularity: Granularity) -> Tensor:
    """E|w| over the layer, shape (1, 1, ...), or over each filter, shape (out, 1, ...)."""
    return weight.abs().mean(dims_of(weight, granularity), keepdim=True)


def largest(weight: Tensor) -> Tensor:
    """The largest magnitude as a scalar to divide by: 1 if every weight is zero."""
    peak = weight.abs().amax()
    return torch.where(peak > 0, peak, torch.ones_like(peak))


def smallest(weight: Tensor, count: int) -> Tensor:
    """A mask of exactly ``count`` weights, those of the smallest magnitude.

    A threshold alone cannot guarantee the number: weights of equal magnitude (in bfloat16 there are
    many) all fall on the same side. Here the threshold is the ``count``-th smallest magnitude, and
    of the weights that equal it the first ones in row-major order are taken. No shape depends on
    values, so that this compiles into one graph. Unlike a sort, it takes linear time.

    Args:
        count: from 0 to the number of weights.

    Shapes: any, to a boolean mask of the same shape.
    """
    if count == 0:
        return torch.zeros_like(weight, dtype=torch.bool)
    magnitude = weight.detach().abs().flatten()
    cut = magnitude.kthvalue(count).values
    below, tied = magnitude < cut, magnitude == cut
    taken = below | (tied & (tied.cumsum(0, dtype=torch.int32) <= count - below.sum()))
    return taken.view(weight.shape)
