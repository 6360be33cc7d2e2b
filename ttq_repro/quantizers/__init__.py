"""Quantization methods, and the functions that attach one to a model and train with it."""

from ttq_repro.quantizers.absmean import AbsMean
from ttq_repro.quantizers.attach import (
    Decision,
    FirstLast,
    QuantizedLayer,
    all_but,
    quantize_,
    quantized_layers,
    remove_quantizer,
)
from ttq_repro.quantizers.base import Quantizer
from ttq_repro.quantizers.binary_connect import BinaryConnect
from ttq_repro.quantizers.bwn import BWN
from ttq_repro.quantizers.deep_compression import DeepCompression
from ttq_repro.quantizers.dorefa import DoReFa
from ttq_repro.quantizers.full_precision import FullPrecision
from ttq_repro.quantizers.gradients import straight_through
from ttq_repro.quantizers.loop import after_step, on_epoch_start, parameter_groups
from ttq_repro.quantizers.lsq import LSQ
from ttq_repro.quantizers.seq import SEQ
from ttq_repro.quantizers.ternary_connect import TernaryConnect
from ttq_repro.quantizers.ttq import TTQ
from ttq_repro.quantizers.twn import TWN

__all__ = [
    "BWN",
    "LSQ",
    "SEQ",
    "TTQ",
    "TWN",
    "AbsMean",
    "BinaryConnect",
    "Decision",
    "DeepCompression",
    "DoReFa",
    "FirstLast",
    "FullPrecision",
    "QuantizedLayer",
    "Quantizer",
    "TernaryConnect",
    "after_step",
    "all_but",
    "on_epoch_start",
    "parameter_groups",
    "quantize_",
    "quantized_layers",
    "remove_quantizer",
    "straight_through",
]
