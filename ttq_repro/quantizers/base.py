"""The interface through which layers, trainer and exporter use every quantizer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

Levels = dict[int, Tensor]


class Quantizer(nn.Module):
    """Maps the latent float weight of one layer to the weight that the layer uses.

    Once attached by :func:`ttq_repro.quantizers.quantize_`, it runs whenever the layer reads its
    weight. A subclass must define only ``forward``. The other methods are hooks with neutral
    defaults, so that the trainer treats all quantizers alike. :mod:`ttq_repro.quantizers.loop`
    calls the epoch and step hooks for all layers. These hooks, ``initialize``, ``codes`` and
    ``levels`` are called under ``torch.no_grad()``.

    All persistent state (masks, codebooks, assignments, the stage) is part of the state dict, so
    that a checkpoint restores it.
    """

    def forward(self, latent: Tensor) -> Tensor:
        """The weight that the layer uses, with the shape, dtype and device of ``latent``."""
        raise NotImplementedError

    def codes(self, latent: Tensor) -> Tensor | None:
        """The code (level index) of every weight in evaluation; None if evaluation uses floats.

        Shape of ``latent``; int8, or int16 for methods with codes beyond ±127 (DoReFa at 8 bits,
        Deep Compression). Code 0 always means a weight of zero. The codes of negative levels are
        negative, those of positive ones positive; a level that becomes zero keeps its code. Methods
        of at most three levels use only -1, 0 and 1.
        """
        return None

    def levels(self, latent: Tensor) -> Levels | None:
        """The weight that each code stands for; None if ``codes`` is.

        Shape () or (1, 1, ...) for the whole layer, (out, 1, ...) if each filter has its own.
        """
        return None

    def initialize(self, latent: Tensor) -> None:
        """Set the state that depends on the layer; called once, when the quantizer is attached.

        May change ``latent`` in place.
        """

    def decayed(self) -> list[nn.Parameter]:
        """The quantizer's own parameters to which weight decay applies."""
        return []

    def rate_factors(self, latent: nn.Parameter) -> list[tuple[nn.Parameter, float]]:
        """Pairs of a parameter (``latent`` or the quantizer's own) and its learning-rate factor.

        Factors are positive and do not affect weight decay. They take effect in an optimizer made
        from :func:`ttq_repro.quantizers.parameter_groups`.
        """
        return []

    def on_epoch_start(self, latent: Tensor, epoch: int, epochs: int) -> None:
        """Called before epoch ``epoch`` (from 0) of ``epochs``; may change ``latent`` in place."""

    def after_step(self, latent: Tensor) -> None:
        """Called after every optimizer step; may change ``latent`` in place."""

    @torch.no_grad()
    def statistics(self, latent: Tensor) -> dict[str, float]:
        """The layer's statistics, recorded every epoch; the names must not change during a run.

        By default, these are the shares of weights with ``negative``, ``zero`` and ``positive``
        codes and, for methods of two or three levels, ``positive_scale`` and ``negative_scale``
        (means over filters). Layers that evaluate with floats have none.
        """
        codes, levels = self.codes(latent), self.levels(latent)
        if codes is None or levels is None:
            return {}
        statistics = sign_shares(codes)
        if levels.keys() <= {-1, 0, 1}:
            statistics["positive_scale"] = levels[1].mean().item()
            statistics["negative_scale"] = -levels[-1].mean().item()
        return statistics


def ternary_levels(negative: Tensor, positive: Tensor) -> Levels:
    """The levels -``negative``, 0 and ``positive`` under the codes -1, 0 and 1."""
    return {-1: -negative, 0: torch.zeros_like(positive), 1: positive}


def binary_codes(latent: Tensor) -> Tensor:
    """The signs of weights as codes -1 and 1 (int8); the sign of 0 is 1."""
    return 2 * (latent >= 0).to(torch.int8) - 1


def sign_shares(values: Tensor) -> dict[str, float]:
    """The shares of ``values`` that are negative, zero and positive."""
    signs = torch.sign(values)
    return {
        name: (signs == sign).float().mean().item()
        for name, sign in (("negative", -1), ("zero", 0), ("positive", 1))
    }


def check_latent(latent: Tensor) -> None:
    """Refuse a weight that no quantizer can handle.

    Raises:
        TypeError: ``latent`` is not a floating-point tensor.
        ValueError: ``latent`` is empty, or holds NaN or infinite values.
    """
    if not latent.is_floating_point():
        raise TypeError(f"latent weights must be floating point, got {latent.dtype}")
    if latent.numel() == 0:
        raise ValueError(f"there are no latent weights: the shape is {tuple(latent.shape)}")
    if not torch.isfinite(latent).all():
        raise ValueError("latent weights hold NaN or infinite values")
