"""The hardware at hand, found without importing torch."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from ttq_repro.workers import cores

#: The precisions that a run can train in: mixed bfloat16, where it is fast, and plain float32.
PRECISIONS = ("bf16", "fp32")
GPU_PATHS = ("/proc/driver/nvidia/gpus", "/dev/nvidia0", "/dev/dxg")
UNKNOWN_GPU = "NVIDIA GPU, model unknown"
BF16_FLAGS = {"avx512_bf16", "amx_bf16"}


def has_gpu(accelerator: str = "auto") -> bool:
    """Whether there is a driver for an NVIDIA GPU (under WSL, Windows' own) that may be used.

    Args:
        accelerator: as in ``configs/trainer``; a run on ``cpu`` uses none.
    """
    if accelerator == "cpu":
        return False
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1", "NoDevFiles"):
        return False
    return any(Path(path).exists() for path in GPU_PATHS)


def fastest_precision(accelerator: str) -> str:
    """``bf16`` where the hardware computes in it, else ``fp32``.

    A CPU without instructions for bfloat16 emulates it at a tenth of the speed of float32.

    Args:
        accelerator: as in ``configs/trainer``.
    """
    return "bf16" if has_gpu(accelerator) or BF16_FLAGS & cpu_flags() else "fp32"


def loader_workers(accelerator: str) -> int:
    """How many processes decode photographs: one per core beside a GPU, on a CPU one in all."""
    return cores() if has_gpu(accelerator) else 1


def precision_warning(precision: str, accelerator: str) -> str | None:
    """A warning for users who ask for a precision that this hardware emulates."""
    if precision == "bf16" and fastest_precision(accelerator) != "bf16":
        return "this CPU emulates bf16, at about a tenth of the speed of fp32"
    return None


def device(accelerator: str = "auto") -> str:
    """The device that a run will train on, by name."""
    return gpu_name() or UNKNOWN_GPU if has_gpu(accelerator) else f"CPU ({processor()})"


def gpu_name() -> str | None:
    """The GPU's model as a record names it; None if the driver does not say, as under WSL.

    Also None if there are different GPUs: torch decides which of them a run gets.
    """
    found = {_entry(path, "Model") for path in Path(GPU_PATHS[0]).glob("*/information")}
    return found.pop() or None if len(found) == 1 else None


def default_threads() -> int:
    """Threads of a run that has the machine to itself: OMP_NUM_THREADS, or one per core."""
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(asked) if asked.isdecimal() and int(asked) else cores()


def cpu_flags() -> set[str]:
    """The CPU's instruction sets and features, as Linux names them."""
    return set(_cpuinfo("flags").split())


def processor() -> str:
    """The CPU's model name, and how many cores may be used."""
    name = _cpuinfo("model name") or platform.processor() or platform.machine()
    return f"{name}, {cores()} cores"


def _cpuinfo(key: str) -> str:
    return _entry(Path("/proc/cpuinfo"), key)


def _entry(path: Path, key: str) -> str:
    """The first entry ``key`` of a file under /proc, empty if there is none."""
    for line in path.read_text().splitlines() if path.is_file() else ():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""
