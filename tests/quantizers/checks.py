"""Helpers for tests of values and gradients: weights to try, derivatives to compare with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from ttq_repro.quantizers import Quantizer

Array = NDArray[np.float64]


@st.composite
def weights(draw: st.DrawFn, *, ties: bool = False) -> Tensor:
    """Convolution weights in float64, of any size and spread, or of a few values only (ties)."""
    shape = [draw(st.integers(1, 4)) for _ in range(4)]
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    spread = draw(st.sampled_from([1e-3, 0.05, 1.0, 30.0]))
    weight = torch.randn(shape, generator=generator, dtype=torch.float64)
    return spread * (weight.round() if ties else weight)


@torch.no_grad()
def ready(method: Callable[[], Quantizer], latent: Tensor) -> Quantizer:
    """The quantizer of one layer, its parameters in the layer's precision."""
    quantizer = method().to(latent.dtype)
    quantizer.initialize(latent)
    return quantizer.to(latent.dtype)


def pull(latent: Tensor) -> Array:
    """A gradient of the loss with respect to the quantized weights, all of its values distinct."""
    return np.cos(np.arange(latent.numel(), dtype=np.float64)).reshape(latent.shape)


def gradients(quantizer: Quantizer, latent: Tensor, g: Array, *parameters: Tensor) -> list[Array]:
    """Gradients of the latent weights and ``parameters`` if that of the quantized weights is g."""
    latent = latent.clone().requires_grad_()
    loss = (quantizer(latent) * torch.from_numpy(g)).sum()
    return [found.numpy() for found in torch.autograd.grad(loss, [latent, *parameters])]


def numeric_gradient(quantizer: Quantizer, latent: Tensor, g: Array, parameter: Tensor) -> Array:
    """The same by central differences, for a parameter that moves no weight across a threshold."""
    found = np.zeros(parameter.shape)
    step = 1e-6
    with torch.no_grad():
        for index in np.ndindex(*parameter.shape):
            value = parameter[index].item()
            losses = []
            for moved in (value - step, value + step):
                parameter[index] = moved
                losses.append((quantizer(latent).numpy() * g).sum())
            parameter[index] = value
            found[index] = (losses[1] - losses[0]) / (2 * step)
    return found
