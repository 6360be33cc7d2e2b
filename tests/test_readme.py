"""README.md and docs/ are up to date and correct."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from ttq_repro.files import ROOT
from ttq_repro.models import CifarResNet
from ttq_repro.paper.differences import DIFFERENCES
from ttq_repro.quantizers import TTQ, quantize_
from ttq_repro.report.doc_sections import fill, pages
from ttq_repro.runs.config import compose_config
from ttq_repro.training.network import attach_quantizer

README = (ROOT / "README.md").read_text()
PAGES = pages(ROOT)
SECTIONS = {"README.md": {"answer", "table1"}, "differences.md": {"differences"}}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_drawn_sections_are_current(page: Path) -> None:
    text = page.read_text()
    assert set(re.findall(r"<!-- (\w+) -->", text)) == SECTIONS.get(page.name, set())
    assert fill(text, ROOT / "results") == text, "run `make readme`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_targets_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE))
    named = re.findall(
        r"(?:^|`)make ([a-z][a-z0-9-]*[a-z0-9])(?=[` \n])", page.read_text(), re.MULTILINE
    )
    assert set(named) <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_train_the_parents_that_they_need(page: Path) -> None:
    """A reader has no trained parents."""
    lines = page.read_text().replace("\\\n", " ").splitlines()
    for command in (line for line in lines if line.startswith("python scripts/train.py")):
        assert "experiment=" not in command or "train_parent=true" in command


def test_the_library_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(example, {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "conv1 float first layer"
    assert lines[-1] == "fc ternary Linear"


def test_the_packing_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "inference.md").read_text()
    example, _on_a_gpu = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    network = CifarResNet(20, 10)
    quantize_(network, TTQ)
    made = {
        "network": network.eval(),
        "names": tuple("0123456789"),
        "images": torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8),
    }
    exec(example, made)
    expected = network(made["packed"].inputs.normalized(made["images"]))
    torch.testing.assert_close(made["logits"], expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "override",
    [d.override for d in DIFFERENCES if d.override != "none"],
)
def test_every_override_of_the_difference_list_works(override: str) -> None:
    changed = compose_config("train", ["quantizer=ttq", *override.split()])
    assert changed != compose_config("train", ["quantizer=ttq"])
    attach_quantizer(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)), changed)
