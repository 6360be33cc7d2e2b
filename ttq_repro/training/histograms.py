"""Histograms of a network's latent weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from ttq_repro.quantizers import quantized_layers
from ttq_repro.quantizers.attach import QuantizedLayer

#: Even, so that zero is an edge; with 80, so is a threshold of 0.05 of the largest magnitude.
BINS = 80


@torch.no_grad()
def weight_histograms(network: nn.Module) -> dict[str, dict[str, Any]]:
    """The latent weights of each quantized layer, by the layer's name.

    Returns:
        The ``largest`` magnitude, the ``counts`` of ``BINS`` equal bins from -largest to largest,
        and the statistics of the layer's quantizer (:meth:`Quantizer.statistics`).
    """
    return {layer.name: _histogram(layer) for layer in quantized_layers(network)}


def _histogram(layer: QuantizedLayer) -> dict[str, Any]:
    weights = layer.latent.detach().float().cpu().numpy()
    largest = np.abs(weights).max()
    counts, _ = np.histogram(weights, BINS, (-largest, largest))
    values = {"largest": largest, **layer.quantizer.statistics(layer.latent)}
    rounded = {name: float(f"{value:.6g}") for name, value in values.items()}
    return {**rounded, "counts": counts.tolist()}
