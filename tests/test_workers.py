"""How processes share the threads and the workers of a run that has them alone."""

import pytest

from ttq_repro.workers import threads_each, workers_each


@pytest.mark.parametrize(
    ("together", "processes", "threads", "workers"),
    [(4, 1, 4, 4), (5, 2, 2, 3), (2, 4, 1, 1), (0, 2, 1, 0)],
)
def test_each_has_a_share(together: int, processes: int, threads: int, workers: int) -> None:
    assert threads_each(together, processes) == threads
    assert workers_each(together, processes) == workers


def test_runs_side_by_side_by_several_processes_share_twice() -> None:
    for together in range(1, 20):
        assert threads_each(threads_each(together, 3), 2) == threads_each(together, 6)
        assert workers_each(workers_each(together, 3), 2) == workers_each(together, 6)
