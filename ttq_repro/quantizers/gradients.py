"""Gradients that methods prescribe in place of derivatives that are zero or too large."""

from __future__ import annotations

from torch import Tensor


def straight_through(value: Tensor, latent: Tensor) -> Tensor:
    """``value`` in the forward pass, with the gradient going to ``latent`` in the backward pass.

    The result equals ``value`` bit for bit, because the term added to it is exactly zero. The usual
    ``latent + (value - latent).detach()`` rounds, and turns two levels into a dozen.

    Shapes: the same for both.
    """
    return value.detach() + (latent - latent.detach())


def scale_gradient(value: Tensor, factor: float | Tensor) -> Tensor:
    """``value`` in the forward pass, with its gradient multiplied by ``factor`` in the backward."""
    return value.detach() + factor * (value - value.detach())
