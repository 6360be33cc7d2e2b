"""How an epoch is divided into batches, and a batch among several training processes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

#: Batch norm cannot train on fewer images.
SMALLEST = 2


def training_batches(count: int, size: int) -> list[slice]:
    """The slice of an epoch's ``count`` images that forms each batch of ``size``.

    The last batch takes the rest; a rest too small for batch norm joins the batch before it.
    """
    starts = list(range(0, count, size))
    if len(starts) > 1 and count - starts[-1] < SMALLEST <= size:
        starts.pop()
    return [slice(*ends) for ends in pairwise([*starts, count])]


@dataclass(frozen=True)
class Shard:
    """The part of every batch that process ``rank`` of ``world_size`` processes gets.

    A batch too small for all of them, such as the last one of an epoch, is divided among the first
    few. Each of the others repeats one of these shards with weight 0, since every process has to
    take part in every step.
    """

    rank: int = 0
    world_size: int = 1

    def of(self, count: int) -> slice:
        """The index of this shard's images in a batch of ``count``."""
        busy = self._busy(count)
        return slice(self.rank % busy, count, busy)

    def weight(self, count: int) -> float:
        """The weight of this shard's mean in the mean over the processes.

        With it, the mean over the processes is that over the whole batch of ``count`` images, even
        if shards differ by one image because the batch does not divide evenly.
        """
        if self.rank >= self._busy(count):
            return 0.0
        return len(range(count)[self.of(count)]) * self.world_size / count

    def _busy(self, count: int) -> int:
        return max(1, min(self.world_size, count // SMALLEST))


#: The shard of a single process.
WHOLE = Shard()
