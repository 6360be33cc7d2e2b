import pytest

from ttq_repro.humanize import counted, size


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 bytes"), (999, "999 bytes"), (1234, "1.2 kB"), (5e7, "50.0 MB"), (4.04e10, "40.4 GB"),
     (2.5e13, "25.0 TB")],
)  # fmt: skip
def test_a_size_has_a_unit_that_says_something_of_it(count: float, said: str) -> None:
    assert size(count) == said


@pytest.mark.parametrize(("number", "said"), [(0, "0 epochs"), (1, "1 epoch"), (2, "2 epochs")])
def test_one_thing_is_not_several(number: int, said: str) -> None:
    assert counted(number, "epoch") == said
