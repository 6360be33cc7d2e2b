"""What the README says is so."""

import re

import pytest
from torch import nn

from ttq_repro.paper.differences import DIFFERENCES
from ttq_repro.report.readme import fill
from ttq_repro.runs.config import ROOT, compose_config
from ttq_repro.training.network import attach_quantizer

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
    [d.override for d in DIFFERENCES if d.override != "none"],
)
def test_every_override_of_the_difference_list_works(override: str) -> None:
    changed = compose_config("train", ["quantizer=ttq", *override.split()])
    assert changed != compose_config("train", ["quantizer=ttq"])
    attach_quantizer(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)), changed)
