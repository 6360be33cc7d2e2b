"""How an epoch is divided into batches, and a batch among several training processes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

#: Batch norm cannot train on less.
SMALLEST = 2


def training_batches(count: int, size: int) -> list[slice]:
    """Which of an epoch's ``count`` images each batch of ``size`` takes.

    The last batch takes what is left; what batch norm cannot train on goes into the one before.
    """
    starts = list(range(0, count, size))
    if len(starts) > 1 and count - starts[-1] < SMALLEST <= size:
        starts.pop()
    return [slice(*ends) for ends in pairwise([*starts, count])]


@dataclass(frozen=True)
class Share:
    """Process ``rank`` of ``world`` ones that divide every batch among them.

    A batch too small for all of them, such as the last one of an epoch, goes to the first few. The
    others repeat a share of theirs, since every process has to take part in every step, and it
    counts for nothing.
    """

    rank: int = 0
    world: int = 1

    def of(self, count: int) -> slice:
        """Which images of a batch of ``count``, as an index."""
        busy = self._busy(count)
        return slice(self.rank % busy, count, busy)

    def weight(self, count: int) -> float:
        """What a mean over this share counts in the mean over the processes.

        So that the latter is the mean over the whole batch of ``count`` images: shares differ by an
        image where the batch does not divide evenly.
        """
        if self.rank >= self._busy(count):
            return 0.0
        return len(range(count)[self.of(count)]) * self.world / count

    def _busy(self, count: int) -> int:
        return max(1, min(self.world, count // SMALLEST))


#: A process on its own.
WHOLE = Share()
