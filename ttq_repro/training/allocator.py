"""Memory that a process keeps between training steps."""

from __future__ import annotations

import ctypes

#: Options of mallopt, from glibc's malloc.h, and the values that keep the most memory.
KEEP_MOST = {
    -3: 32 * 2**20,  # M_MMAP_THRESHOLD: larger blocks go back to the system when they are freed.
    -1: 2**31 - 1,  # M_TRIM_THRESHOLD: so does the end of the heap if it has more free bytes.
}


def keep_freed_memory() -> None:
    """Keep freed memory in this process for its next allocations, on a CPU.

    Every step allocates the same tensors. By default, glibc returns most of their memory to the
    system in between, which hands it out again page by page, after writing zeros: a sixth of the
    time of a step of ResNet-20. Other C libraries are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in KEEP_MOST.items():
            mallopt(option, value)
