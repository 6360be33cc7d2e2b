"""Gradients that a method prescribes where the derivative would be zero or too large."""

from __future__ import annotations

from torch import Tensor


def straight_through(value: Tensor, latent: Tensor) -> Tensor:
    """``value`` going forward, the gradient of ``latent`` going backward.

    The result equals ``value`` bit for bit: what is added to it is exactly zero. The more usual
    ``latent + (value - latent).detach()`` rounds, and a layer of two levels then has a dozen.

    Shapes: both alike.
    """
    return value.detach() + (latent - latent.detach())


def scale_gradient(value: Tensor, factor: float | Tensor) -> Tensor:
    """``value`` going forward, its gradient times ``factor`` going backward."""
    return value.detach() + factor * (value - value.detach())
