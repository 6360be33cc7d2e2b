"""Which images form a batch, and which of them each of several processes takes."""

from __future__ import annotations

import pytest

from ttq_repro.data.shard import SMALLEST, WHOLE, Shard, training_batches


@pytest.mark.parametrize("size", [1, 2, 3, 16, 100])
def test_a_batch_is_whole_or_what_is_left(size: int) -> None:
    for count in range(1, 70):
        sizes = [len(range(count)[batch]) for batch in training_batches(count, size)]
        images = [i for batch in training_batches(count, size) for i in range(count)[batch]]
        assert images == list(range(count))
        if count % size != 1 or count == 1:
            assert sizes == [size] * (count // size) + [count % size] * (count % size > 0)
        else:
            assert sizes == [size] * (count // size - 1) + [size + 1], "nobody trains on one image"


@pytest.mark.parametrize("count", [1, 2, 3, 15, 16, 128])
@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_every_image_counts_once(count: int, world: int) -> None:
    shards = [Shard(rank, world) for rank in range(world)]
    busy = [shard for shard in shards if shard.weight(count)]
    taken = [image for shard in busy for image in range(count)[shard.of(count)]]
    assert sorted(taken) == list(range(count))
    assert sum(shard.weight(count) for shard in shards) == pytest.approx(world)
    for shard in busy:
        own = len(range(count)[shard.of(count)])
        assert shard.weight(count) == pytest.approx(own * world / count)


@pytest.mark.parametrize("world", [2, 3, 8])
def test_no_share_is_too_small_for_batch_norm(world: int) -> None:
    for count in range(SMALLEST, 4 * world):
        for rank in range(world):
            assert len(range(count)[Shard(rank, world).of(count)]) >= SMALLEST


def test_a_process_on_its_own_takes_all_of_it() -> None:
    assert WHOLE.of(7) == slice(0, 7, 1)
    assert WHOLE.weight(7) == 1.0
