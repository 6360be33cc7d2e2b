"""Every committed config composes, and what it describes can be built."""

from pathlib import Path

import pytest
import torch
from hydra.errors import ConfigCompositionException
from hydra.utils import get_class, get_method, instantiate

from ttq_repro.runs.config import CONFIGS, compose_config
from ttq_repro.training.optimization import Recipe


def choices(group: str) -> list[str]:
    root = CONFIGS / group
    return sorted(str(p.relative_to(root).with_suffix("")) for p in root.rglob("*.yaml"))


def test_train_composes_without_overrides() -> None:
    assert compose_config("train", [])["data"]["name"] == "cifar10"


@pytest.mark.parametrize("experiment", choices("experiment"))
def test_experiment_says_what_it_reproduces(experiment: str) -> None:
    config = compose_config("train", [f"experiment={experiment}"])
    assert config["seed"] == 1
    header = Path(CONFIGS / "experiment" / f"{experiment}.yaml").read_text()
    assert f"experiment={experiment}" in header


@pytest.mark.parametrize("quantizer", choices("quantizer"))
def test_quantizer_keeps_shape(quantizer: str) -> None:
    node = compose_config("train", [f"quantizer={quantizer}"])["quantizer"]
    module = instantiate({key: value for key, value in node.items() if key != "name"})
    latent = torch.randn(4, 3, 3, 3)
    module.initialize(latent)
    assert module(latent).shape == latent.shape


@pytest.mark.parametrize("recipe", choices("recipe"))
def test_recipe_names_known_classes(recipe: str) -> None:
    node = compose_config("train", [f"recipe={recipe}"])["recipe"]
    built = Recipe(**node)
    assert built.name == recipe
    assert built.parent in choices("recipe")
    for part in (built.optimizer, built.schedule):
        get_class(part["_target_"])


@pytest.mark.parametrize("artifact", [a for a in choices("artifact") if "/" not in a])
def test_artifact_names_what_is_there(artifact: str) -> None:
    node = compose_config("reproduce", [f"artifact={artifact}"])["artifact"]
    assert node["name"] == artifact
    assert callable(get_method(node["render"]))
    assert set(node["budgets"]) == {"paper", "short", "smoke"}
    assert {cell["experiment"] for cell in node["cells"]} <= set(choices("experiment"))


def test_unknown_key_fails() -> None:
    with pytest.raises(ConfigCompositionException):
        compose_config("train", ["quantizer.treshold=0.1"])
