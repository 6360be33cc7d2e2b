"""The kernels of ternary convolutions, as a record keeps them (section 6.3 and Figure 6)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from ttq_repro.quantizers import quantized_layers
from ttq_repro.runs.record import pack_codes

SHOWN = 10  # Figure 6 shows the kernels of this many outputs and inputs.


@torch.no_grad()
def ternary_kernels(network: nn.Module) -> dict[str, dict[str, Any]]:
    """``Record.kernels`` of a network: its ternary convolutions with kernels larger than 1x1."""
    found = {}
    for layer in quantized_layers(network):
        levels, codes = layer.quantizer.levels(layer.latent), layer.quantizer.codes(layer.latent)
        if levels is None or codes is None or levels.keys() != {-1, 0, 1}:
            continue
        kernels = codes.cpu().numpy()
        if kernels.ndim != 4 or kernels[0, 0].size == 1:
            continue
        shown = kernels[:SHOWN, :SHOWN]
        nonzeros = np.count_nonzero(kernels, axis=(2, 3))
        found[layer.name] = {
            "count": nonzeros.size,
            "empty": int((nonzeros == 0).sum()),
            "single": int((nonzeros == 1).sum()),
            "shape": list(shown.shape),
            "codes": pack_codes(shown),
        }
    return found
