"""What every quantizer promises to the layers, the trainer and the exporter."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Quantizer(nn.Module):
    """Maps the latent float weight of one layer to the weight which that layer uses.

    A quantizer is attached by :func:`ttq_repro.quantizers.quantize_` and from then on runs whenever
    the layer reads its weight. ``forward`` is all a method must define. The other methods are
    hooks with a neutral default, so that the trainer needs no branch for any method.
    """

    def forward(self, latent: Tensor) -> Tensor:
        """The weight in use, of the shape, dtype and device of ``latent``."""
        raise NotImplementedError

    def codes(self, latent: Tensor) -> Tensor | None:
        """The level index of every weight (int8, shape of ``latent``); None for float layers."""
        return None

    def levels(self, latent: Tensor) -> dict[int, Tensor] | None:
        """The weight that each code stands for: a scalar, or one a filter, shape (out, 1, ...)."""
        return None

    def initialize(self, latent: Tensor) -> None:
        """Set the state that depends on the layer; called once, when the quantizer is attached."""

    def decayed(self) -> list[nn.Parameter]:
        """The quantizer's own parameters that take part in weight decay."""
        return []

    def on_epoch_start(self, latent: Tensor, epoch: int, epochs: int) -> None:
        """Called before epoch ``epoch`` (from 0) of ``epochs``; may change ``latent`` in place."""

    def after_step(self, latent: Tensor) -> None:
        """Called after every optimizer step, with the latent weight, to be changed in place."""


def check_latent(latent: Tensor) -> None:
    """Refuse a weight that no quantizer can work on.

    Raises:
        TypeError: ``latent`` is not a floating-point tensor.
        ValueError: ``latent`` holds NaN or infinite values.
    """
    if not latent.is_floating_point():
        raise TypeError(f"latent weights must be floating point, got {latent.dtype}")
    if not torch.isfinite(latent).all():
        raise ValueError("latent weights hold NaN or infinite values")
