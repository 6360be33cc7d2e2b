"""The hardware at hand, found without importing torch."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from ttq_repro.workers import cores

#: The numerics a run can train in: mixed bfloat16 where it is fast, and plain float32.
PRECISIONS = ("bf16", "fp32")
GPU_PATHS = ("/proc/driver/nvidia/gpus", "/dev/nvidia0", "/dev/dxg")
BF16_FLAGS = {"avx512_bf16", "amx_bf16"}


def has_gpu() -> bool:
    """Whether there is a driver for an NVIDIA GPU (under WSL, Windows' own) that may be used."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1", "NoDevFiles"):
        return False
    return any(Path(path).exists() for path in GPU_PATHS)


def fastest_precision(accelerator: str) -> str:
    """``bf16`` where the hardware computes in it, else ``fp32``.

    A CPU without instructions for bfloat16 emulates it at a tenth of the speed of float32.

    Args:
        accelerator: as in ``configs/trainer``.
    """
    on_gpu = accelerator != "cpu" and has_gpu()
    return "bf16" if on_gpu or BF16_FLAGS & cpu_flags() else "fp32"


def loader_workers(accelerator: str) -> int:
    """How many processes decode photographs: one a core beside a GPU, else one beside the step."""
    on_gpu = accelerator != "cpu" and has_gpu()
    return cores() if on_gpu else 1


def precision_warning(precision: str, accelerator: str) -> str | None:
    """What to tell a user who asks for a precision that this hardware emulates."""
    if precision == "bf16" and fastest_precision(accelerator) != "bf16":
        return "this CPU emulates bf16, at about a tenth of the speed of fp32"
    return None


def device() -> str:
    """What a run will train on."""
    return "NVIDIA GPU" if has_gpu() else f"CPU ({processor()})"


def cpu_flags() -> set[str]:
    """What the CPU has instructions for, as Linux names it."""
    return set(_cpuinfo("flags").split())


def processor() -> str:
    """The CPU's model name and the cores at hand."""
    name = _cpuinfo("model name") or platform.processor() or platform.machine()
    return f"{name}, {cores()} cores"


def _cpuinfo(key: str) -> str:
    """The first entry ``key`` of /proc/cpuinfo, empty where there is none."""
    path = Path("/proc/cpuinfo")
    for line in path.read_text().splitlines() if path.is_file() else ():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""
