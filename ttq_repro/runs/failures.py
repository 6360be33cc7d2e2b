"""What stops a run from outside, as one line that says what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ttq_repro.checks import headline
from ttq_repro.errors import TrainingError
from ttq_repro.runs.run import Run

#: How torch's CPU allocator words it; on a GPU it has an exception of its own.
NO_MEMORY = ("not enough memory", "can't allocate memory")


def lost_the_others(error: Exception) -> bool:
    """Whether an operation of several processes failed because one of them is gone."""
    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error)


@contextmanager
def explained(run: Run) -> Iterator[None]:
    """Turn a full disk, a lack of memory or a lost GPU into a :class:`TrainingError`."""
    try:
        yield
    except MemoryError:
        raise _out_of_memory(run) from None
    except OSError as error:
        if error.strerror is None:  # Not the system's: of a library that has its own use for it.
            raise
        raise TrainingError(f"{error.strerror}: {error.filename or 'writing its files'}") from None
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or any(m in str(error) for m in NO_MEMORY):
            # The next run of a plan needs what this one held.
            torch.cuda.empty_cache()
            raise _out_of_memory(run) from None
        if isinstance(error, torch.AcceleratorError):
            raise TrainingError(f"the GPU failed: {headline(error)}") from None
        raise


def _out_of_memory(run: Run) -> TrainingError:
    size = run.config["recipe"]["batch_size"]
    return TrainingError(f"out of memory at recipe.batch_size={size}")
