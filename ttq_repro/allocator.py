"""Memory: what a process keeps for its next allocations, and what it says when there is none."""

from __future__ import annotations

import ctypes

import torch

#: Messages of torch's CPU allocator and of C++; for a GPU, torch has an exception of its own.
NO_MEMORY = ("not enough memory", "can't allocate memory", "bad_alloc")
#: Options of mallopt, from glibc's malloc.h, with values that keep all memory.
KEEP_ALL = {
    -4: 0,  # M_MMAP_MAX: no large block is mapped separately, to be unmapped when it is freed.
    -1: -1,  # M_TRIM_THRESHOLD: the end of the heap is never given back.
}


def lacks_memory(error: Exception) -> bool:
    """Whether an operation failed for lack of memory, of the machine or of its GPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error) for said in NO_MEMORY)


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
