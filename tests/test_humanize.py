import pytest

from ttq_repro.humanize import size


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 bytes"), (999, "999 bytes"), (1234, "1.2 kB"), (5e7, "50.0 MB"), (4.04e10, "40.4 GB"),
     (2.5e13, "25.0 TB")],
)  # fmt: skip
def test_a_size_has_a_unit_that_says_something_of_it(count: float, said: str) -> None:
    assert size(count) == said
