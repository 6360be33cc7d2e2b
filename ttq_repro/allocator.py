"""Memory that a process keeps for its next allocations."""

from __future__ import annotations

import ctypes

#: Options of mallopt, from glibc's malloc.h, with values that keep all memory.
KEEP_ALL = {
    -4: 0,  # M_MMAP_MAX: no large block is mapped separately, to be unmapped when it is freed.
    -1: -1,  # M_TRIM_THRESHOLD: the end of the heap is never given back.
}


def keep_freed_memory() -> None:
    """Keep the memory of freed tensors in this process, for the next ones on the CPU.

    A network allocates the same tensors for every batch. By default, glibc returns most of their
    memory to the system in between, which hands it out again page by page, after writing zeros: up
    to a third of the time. In exchange, the process stays as large as it ever was, and becomes
    larger if the sizes of tensors differ much. Other C libraries are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in KEEP_ALL.items():
            mallopt(option, value)
