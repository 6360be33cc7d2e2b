"""What the README says is so."""

import re

import pytest

from ttq_repro.paper.differences import DIFFERENCES
from ttq_repro.report.readme import fill
from ttq_repro.runs.config import ROOT, compose_config

README = (ROOT / "README.md").read_text()


def test_its_tables_are_current() -> None:
    assert fill(README, ROOT / "results") == README, "run `make readme`"


def test_its_library_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(example, {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "conv1 float first layer"
    assert lines[-1] == "fc ternary Linear"


@pytest.mark.parametrize(
    "override",
    [
        word
        for d in DIFFERENCES
        for word in d.override.split()
        if "..." not in word and word != "none"
    ],
)
def test_every_override_of_the_difference_list_works(override: str) -> None:
    changed = compose_config("train", ["quantizer=ttq", override])
    assert changed != compose_config("train", ["quantizer=ttq"])
