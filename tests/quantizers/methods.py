"""Every method under test, and helpers to apply one to a weight outside a network."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ttq_repro.quantizers import (
    BWN,
    LSQ,
    SEQ,
    TTQ,
    TWN,
    AbsMean,
    BinaryConnect,
    DeepCompression,
    DoReFa,
    FullPrecision,
    Quantizer,
    TernaryConnect,
)

METHODS: dict[str, Callable[[], Quantizer]] = {
    "full_precision": FullPrecision,
    "ttq": TTQ,
    "ttq_released": partial(TTQ, tie="unit"),
    "ttq_sparsity": partial(TTQ, sparsity=0.5),
    "ttq_tied": partial(TTQ, tied_scales=True, positive_scales=True),
    "ttq_per_filter": partial(
        TTQ, granularity="filter", tanh=True, normalize="max", reduction="mean"
    ),
    "twn": TWN,
    "twn_per_filter": partial(TWN, 0.75, granularity="filter"),
    "dorefa": DoReFa,
    "dorefa_2bit": partial(DoReFa, 2),
    "dorefa_8bit": partial(DoReFa, 8),
    "bwn": BWN,
    "bwn_released": partial(BWN, center=True, clamp=True, latent_gradient="released"),
    "binary_connect": BinaryConnect,
    "binary_connect_deterministic": partial(BinaryConnect, stochastic=False),
    "ternary_connect": partial(TernaryConnect, rescale=True),
    "ternary_connect_deterministic": partial(TernaryConnect, stochastic=False, rescale=True),
    "deep_compression": DeepCompression,
    "deep_compression_2bit": partial(DeepCompression, conv_bits=2, fc_bits=2),
    "lsq": LSQ,
    "absmean": AbsMean,
    "seq": SEQ,
}

#: Methods that evaluate with float weights, and so have no codes.
FLOAT = {"full_precision", "binary_connect", "ternary_connect"}

#: The most distinct weights in one filter; methods without an entry have no limit.
LEVELS = {
    "ttq": 3,
    "ttq_released": 5,
    "ttq_sparsity": 3,
    "ttq_tied": 3,
    "ttq_per_filter": 3,
    "twn": 3,
    "twn_per_filter": 3,
    "dorefa": 2,
    "dorefa_2bit": 4,
    "dorefa_8bit": 256,
    "bwn": 2,
    "bwn_released": 2,
    "binary_connect": 2,
    "binary_connect_deterministic": 2,
    "ternary_connect": 3,
    "ternary_connect_deterministic": 3,
    "deep_compression": 256,
    "deep_compression_2bit": 4,
    "lsq": 3,
    "absmean": 3,
    "seq": 3,
}


@torch.no_grad()
def prepare(make: Callable[[], Quantizer], latent: Tensor) -> Quantizer:
    """A quantizer after the hooks that a one-epoch run calls before its first step."""
    quantizer = make()
    quantizer.initialize(latent)
    quantizer.on_epoch_start(latent, 0, 1)
    return quantizer


@torch.no_grad()
def decode(quantizer: Quantizer, latent: Tensor) -> Tensor | None:
    """The weight that codes and levels represent."""
    codes, levels = quantizer.codes(latent), quantizer.levels(latent)
    if codes is None or levels is None:
        assert codes is None
        assert levels is None
        return None
    weight = torch.full_like(latent, torch.nan)
    for code, level in levels.items():
        weight = torch.where(codes == code, level.to(latent.dtype), weight)
    return weight
