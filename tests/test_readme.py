"""README.md and docs/ are up to date and correct."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from tests.deploy.networks import relative_difference
from tests.quantizers.methods import METHODS
from tests.test_makefile import asked
from ttq_repro.deploy import convert_
from ttq_repro.files import CONFIGS, ROOT
from ttq_repro.models import CifarResNet
from ttq_repro.paper.differences import DIFFERENCES
from ttq_repro.quantizers import (
    TTQ,
    FirstLast,
    QuantizedLayer,
    after_step,
    on_epoch_start,
    quantize_,
    quantized_layers,
)
from ttq_repro.report.doc_sections import fill, pages
from ttq_repro.runs.cell import cells_of
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
    for place, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text()):
        text = ((page.parent / place) if place else page).read_text()
        headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        anchors = {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}
        assert anchor in anchors


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


def commands(page: Path, program: str) -> list[list[str]]:
    """The arguments of each shell command of a page that starts with ``program``."""
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [
        shlex.split(line.removeprefix(program), comments=True)
        for line in lines
        if line.startswith(program)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_scripts_are_accepted(page: Path) -> None:
    for name, *arguments in commands(page, "python scripts/"):
        script = name.removesuffix(".py")
        if script == "predict":  # Its config is in a folder that Hydra is told of.
            known = OmegaConf.load(CONFIGS / "predict" / "predict.yaml")
            assert {one.partition("=")[0] for one in arguments} <= known.keys()
            continue
        # Of the values of a sweep, the first.
        given = [re.sub(r"=([^,\[{]+),.*", r"=\1", one) for one in arguments if one != "-m"]
        compose_config(script, [one for one in given if not one.startswith(("hydra", "-"))])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_make_ask_for_cells(page: Path) -> None:
    for target, *variables in commands(page, "make reproduce-"):
        given = dict(one.split("=", 1) for one in variables)
        for call in asked(f"reproduce-{target}", **given):
            request = compose_config("reproduce", call)
            assert cells_of(request, request["budget"])


@pytest.mark.parametrize(
    ("when", "hook"),
    [
        ("before each epoch", lambda layers: on_epoch_start(layers, 5, 10)),
        ("after each optimizer step", after_step),
    ],
)
def test_the_methods_said_to_act_between_steps_are_those_that_do(
    when: str, hook: Callable[[list[QuantizedLayer]], None]
) -> None:
    acting = set()
    for make in METHODS.values():
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
        quantize_(network, make)
        with torch.no_grad():  # Where methods that keep something in a range have to act.
            for parameter in network.parameters():
                parameter.copy_(-torch.linspace(1, 3, parameter.numel()).view_as(parameter))
        before = {name: value.clone() for name, value in network.state_dict().items()}
        hook(quantized_layers(network))
        if any(not torch.equal(before[name], now) for name, now in network.state_dict().items()):
            acting.add(type(quantized_layers(network)[0].quantizer).__name__)
    (told,) = re.findall(rf"{when}\s+\((.*?)\)", README, re.DOTALL)
    assert set(re.findall(r"\b[A-Z]\w+", re.sub(r"`.*?`", "", told))) == acting


def test_the_library_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    quantizing, converting = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(quantizing, made := {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "conv1 float first layer"
    assert lines[-1] == "fc ternary Linear"
    exec(converting, made)
    assert len(quantized_layers(made["model"])) == 0
    assert "fc.words" in made["model"].state_dict()


def test_the_example_of_a_quantizer_of_ones_own_is_one() -> None:
    page = (ROOT / "docs" / "training.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(example, defined := {})
    quantizer, latent = defined["Sign"](), torch.randn(3, 5, requires_grad=True)
    used = quantizer(latent)
    used.sum().backward()
    assert latent.grad is not None
    assert (latent.grad == 1).all()
    levels, codes = quantizer.levels(latent), quantizer.codes(latent)
    assert torch.equal(used, torch.where(codes > 0, levels[1], levels[-1]))
    model = nn.Sequential(nn.Linear(40, 30))
    quantize_(model, defined["Sign"], FirstLast(quantize_first=True))
    assert convert_(model) == ["0"]


def test_the_packing_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "inference.md").read_text()
    example, _of_ones_own, _on_a_gpu = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    network = CifarResNet(20, 10)
    quantize_(network, TTQ)
    made = {
        "network": network.eval(),
        "names": tuple("0123456789"),
        "images": torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8),
    }
    exec(example, made)
    expected = network(made["packed"].inputs.normalized(made["images"]))
    # Logits of untrained scales are large, and a small one is a difference of large ones.
    assert relative_difference(made["logits"], expected) < 1e-5


def test_the_converting_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "inference.md").read_text()
    _packing, example, _on_a_gpu = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    trained, untrained = (nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)) for _ in range(2))
    quantize_(trained, TTQ)
    images = torch.randn(2, 8)
    expected = trained(images)
    names = {"trained": trained, "untrained": untrained, "quantize_": quantize_, "TTQ": TTQ}
    exec(example, names)
    torch.testing.assert_close(untrained(images), expected)


@pytest.mark.parametrize(
    "override",
    [d.override for d in DIFFERENCES if d.override != "none"],
)
def test_every_override_of_the_difference_list_works(override: str) -> None:
    changed = compose_config("train", ["quantizer=ttq", *override.split()])
    assert changed != compose_config("train", ["quantizer=ttq"])
    attach_quantizer(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)), changed)
