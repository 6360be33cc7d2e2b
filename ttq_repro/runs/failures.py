"""Failures with causes outside of a run, reported in one line that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ttq_repro.allocator import lacks_memory
from ttq_repro.errors import TrainingError, headline
from ttq_repro.runs.run import Run

#: How torch's messages about its loader's processes begin.
LOADER = "DataLoader worker"


def lost_the_others(error: Exception) -> bool:
    """Whether an operation of several processes failed because one of them is gone."""
    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error)


@contextmanager
def as_training_error(run: Run) -> Iterator[None]:
    """Turn a full disk, a lack of memory, a lost GPU or process into a :class:`TrainingError`."""
    try:
        yield
    except OSError as error:
        if error.strerror is None:  # Not the system's: a library raised it for its own purposes.
            raise
        raise TrainingError(f"{error.strerror}: {error.filename or 'writing its files'}") from None
    except (MemoryError, RuntimeError) as error:
        if lacks_memory(error):
            raise _out_of_memory(run) from None
        if str(error).startswith(LOADER):
            raise TrainingError(
                f"a process that loads images died, perhaps for lack of memory: {headline(error)}"
            ) from None
        if isinstance(error, torch.AcceleratorError):
            raise TrainingError(f"the GPU failed: {headline(error)}") from None
        raise


def _out_of_memory(run: Run) -> TrainingError:
    size = run.config["recipe"]["batch_size"]
    return TrainingError(
        f"out of memory at recipe.batch_size={size}: train fewer runs at once (jobs=1), decode in "
        "fewer processes (trainer.workers) or use a machine with more memory; another batch size, "
        "trainer.devices or trainer.precision makes it another run"
    )
