"""How exceptions become errors of one line."""

from __future__ import annotations

import pytest

from ttq_repro.errors import UserError, as_user_error, headline


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (RuntimeError("CUDA error: out of luck\nCompile with advice."), "CUDA error: out of luck"),
        (ImportError("No 'a':\n  no module\nInstalled?"), "No 'a': no module"),
        (KeyError("title"), "there is no 'title'"),
        (MemoryError(), "MemoryError"),
    ],
)  # fmt: skip
def test_a_message_is_shortened_to_a_line(error: Exception, line: str) -> None:
    assert headline(error) == line


def test_the_class_precedes_the_message_if_asked_for() -> None:
    assert headline(KeyError("title"), with_class=True) == "KeyError: 'title'"


def test_only_errors_of_arguments_are_the_users() -> None:
    with (
        pytest.raises(UserError, match=r"^networks: there is no 'title'$"),
        as_user_error("networks"),
    ):
        raise KeyError("title")
    with pytest.raises(RuntimeError, match="ours"), as_user_error("networks"):
        raise RuntimeError("ours")
