"""Networks that are ternary on disk and in memory, and their export to ONNX."""

from ttq_repro.deploy.conversion import convert_
from ttq_repro.deploy.format import serialize
from ttq_repro.deploy.loading import load, open_packed
from ttq_repro.deploy.packed import Inputs, PackedNetwork
from ttq_repro.deploy.packing import pack
from ttq_repro.deploy.replay import replayed

__all__ = [
    "Inputs",
    "PackedNetwork",
    "convert_",
    "load",
    "open_packed",
    "pack",
    "replayed",
    "serialize",
]
