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


#: What each config of a quantizer stands for, by its sources. Spelled out, as a slip in a preset
#: would make another method of it.
METHODS: dict[str, dict[str, object]] = {
    "full_precision": {},
    "ttq": {"threshold": 0.05, "tie": "zero", "normalize": "none"},
    "ttq_paper": {"threshold": 0.05, "tie": "zero", "normalize": "max"},
    "ttq_authors_code": {"threshold": 0.05, "tie": "unit", "normalize": "none"},
    "ttq_sparsity": {"threshold": None, "sparsity": 0.5, "normalize": "none"},
    "twn": {"factor": 0.7, "granularity": "layer"},
    "twn_per_filter": {"factor": 0.75, "granularity": "filter"},
    "dorefa": {"bits": 1},
    "bwn": {"center": False, "clamp": False, "latent_gradient": "straight_through"},
    "bwn_authors_code": {"center": True, "clamp": True, "latent_gradient": "released"},
    "binary_connect": {"stochastic": False, "evaluation": "quantized", "rescale": True},
    "ternary_connect": {"stochastic": False, "evaluation": "quantized", "rescale": True},
    "deep_compression": {
        "density": 0.4, "conv_bits": 8, "fc_bits": 5, "prune_at": 0.0, "cluster_at": 0.75
    },
    "lsq": {},
    "absmean": {},
    "seq": {},
}  # fmt: skip
EVERY_TTQ = {
    "negative_gradient": "true", "reduction": "sum", "latent_gradient": "scaled", "tanh": False,
    "positive_scales": False, "granularity": "layer", "decay_scales": True,
}  # fmt: skip
EVERY_CONNECT = {"rate_scaling": "glorot_squared"}


@pytest.mark.parametrize("quantizer", choices("quantizer"))
def test_a_quantizers_config_is_the_method_of_its_name(quantizer: str) -> None:
    node = compose_config("train", [f"quantizer={quantizer}"])["quantizer"]
    module = instantiate({key: value for key, value in node.items() if key != "name"})
    expected = dict(METHODS[quantizer])
    if quantizer.startswith("ttq"):
        expected |= EVERY_TTQ
        assert [p.item() for p in module.parameters()] == [1.0, 1.0]
    if quantizer.endswith("_connect"):
        expected |= EVERY_CONNECT
    assert {name: getattr(module, name) for name in expected} == expected


@pytest.mark.parametrize("recipe", choices("recipe"))
def test_recipe_names_known_classes(recipe: str) -> None:
    node = compose_config("train", [f"recipe={recipe}"])["recipe"]
    built = Recipe(**node)
    assert built.name == recipe
    assert built.parent in choices("recipe")
    for part in (built.optimizer, built.schedule):
        get_class(part["_target_"])


@pytest.mark.parametrize("recipe", choices("recipe"))
def test_the_optimizers_rate_is_the_one_that_counts(recipe: str) -> None:
    """Of a schedule of its own rates the highest follows it."""
    node = compose_config("train", [f"recipe={recipe}", "recipe.optimizer.lr=0.0123"])["recipe"]
    assert node["schedule"].get("max_lr", 0.0123) == 0.0123


@pytest.mark.parametrize("artifact", [a for a in choices("artifact") if "/" not in a])
def test_artifact_names_what_is_there(artifact: str) -> None:
    node = compose_config("reproduce", [f"artifact={artifact}"])["artifact"]
    assert node["name"] == artifact
    assert callable(get_method(node["render"]))
    assert set(node["budgets"]) == {"paper", "short", "smoke"}
    assert {cell["experiment"] for cell in node["cells"]} <= set(choices("experiment"))
    assert all(cell.get("budgets", {}).keys() <= node["budgets"].keys() for cell in node["cells"])
    assert all(cell.get("at", "paper") in node["budgets"] for cell in node["cells"])


def test_unknown_key_fails() -> None:
    with pytest.raises(ConfigCompositionException):
        compose_config("train", ["quantizer.treshold=0.1"])
