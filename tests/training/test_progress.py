"""What a user sees while a run trains."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable

import pytest

from ttq_repro.errors import UserError
from ttq_repro.runs.execute import execute
from ttq_repro.runs.run import Run

MakeRun = Callable[..., Run]
LINE = r": epoch {} of 3, test error \d+\.\d\d%, about \d+ s left"
#: Two epochs of one batch. Only the first has a line: how the last one ends is the run's result.
TWO_STEPS = ["recipe.epochs=2", "recipe.batch_size=300"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Not a fixture, because pytest installs its own stream after fixtures have run."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    return terminal


def told(run: Run) -> list[str]:
    said: list[str] = []
    execute(run, say=said.append)
    return [line.removeprefix(run.name) for line in said if ": epoch " in line]


def test_elsewhere_a_line_an_epoch(tiny_run: MakeRun) -> None:
    first, second = told(tiny_run("recipe.epochs=3", "trainer.progress=true"))
    assert re.fullmatch(LINE.format(1), first)
    assert re.fullmatch(LINE.format(2), second)


def test_a_terminal_gets_one_bar_over_all_epochs(
    tiny_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = on_a_terminal(monkeypatch)
    assert told(tiny_run(*TWO_STEPS, "trainer.progress=true")) == []
    last = terminal.getvalue().rstrip().rpartition("\r")[2]
    assert re.match(r"epoch 2 of 2, test error \d+\.\d\d%: 100%\|.* (\d+)/\1 \[", last)


def test_lines_even_on_a_terminal(tiny_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_a_terminal(monkeypatch)
    assert len(told(tiny_run(*TWO_STEPS, "trainer.progress=lines"))) == 1
    assert terminal.getvalue() == ""


def test_none_at_all(tiny_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_a_terminal(monkeypatch)
    assert told(tiny_run(*TWO_STEPS, "trainer.progress=false")) == []
    assert terminal.getvalue() == ""


def test_another_word_is_named(tiny_run: MakeRun) -> None:
    with pytest.raises(UserError, match=r"^trainer\.progress=loud: must be one of True, False, l"):
        execute(tiny_run("trainer.progress=loud"))
