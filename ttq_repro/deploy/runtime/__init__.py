"""Ternary layers that compute from packed weights: a C++ runtime for CPUs, Triton for GPUs."""

from ttq_repro.deploy.runtime.build import Runtime, runtime
from ttq_repro.deploy.runtime.layers import PackedConv2d, covers, packed_layer

__all__ = ["PackedConv2d", "Runtime", "covers", "packed_layer", "runtime"]
