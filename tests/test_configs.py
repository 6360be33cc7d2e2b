"""Every committed config composes, and what it describes can be built."""

import itertools
import json
import re
import shlex

import pytest
from hydra.utils import get_class, get_method, instantiate

from ttq_repro.deploy.architecture import skeleton
from ttq_repro.deploy.export import architecture_of
from ttq_repro.files import CONFIGS
from ttq_repro.paper.reported import TABLE1, TABLE2, TABLE3
from ttq_repro.runs.config import choices, compose_config
from ttq_repro.runs.run import Run
from ttq_repro.training.optimization import Recipe

#: In folders, by what they are for.
EXPERIMENTS = sorted(
    str(path.relative_to(CONFIGS / "experiment").with_suffix(""))
    for path in (CONFIGS / "experiment").rglob("*.yaml")
)


def test_train_composes_without_overrides() -> None:
    assert compose_config("train", [])["data"]["name"] == "cifar10"


#: The errors that the paper's tables report for an experiment.
REPORTED: dict[str, tuple[float, ...]] = {
    "best_ternary/resnet20": (TABLE1[20].full_precision,),  # The error that it is to beat.
    "table2/alexnet_bn_fp_dropout": TABLE2["full_precision"],
    "table3/resnet18b_fp": TABLE3["full_precision"],
    **{f"table1/resnet{depth}_fp": (pair.full_precision,) for depth, pair in TABLE1.items()},
    **{f"table1/resnet{depth}_ttq": (pair.ttq,) for depth, pair in TABLE1.items()},
    **{f"table2/alexnet_bn_{method}": TABLE2[method] for method in ("dorefa", "twn", "ttq")},
    **{f"table3/resnet18b_{method}": TABLE3[method] for method in ("bwn", "twn", "ttq")},
}


def header_of(experiment: str) -> list[str]:
    """The lines of the comment that an experiment begins with."""
    lines = (CONFIGS / "experiment" / f"{experiment}.yaml").read_text().splitlines()
    comment = itertools.takewhile(lambda line: line.startswith("# "), lines)
    return [line.removeprefix("# ") for line in comment]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_command_of_an_experiment_trains_it(experiment: str) -> None:
    (command,) = (line for line in header_of(experiment) if line.startswith("python "))
    _, script, *arguments = shlex.split(command)
    assert script == "scripts/train.py"
    given = [argument.split("=", 1) for argument in arguments if argument != "-m"]
    values = [[f"{key}={value}" for value in swept.split(",")] for key, swept in given]
    configs = [compose_config("train", list(chosen)) for chosen in itertools.product(*values)]
    assert len(configs) == 1 or "-m" in arguments
    meant = Run(compose_config("train", [f"experiment={experiment}"]))
    assert meant.identity in {Run(config).identity for config in configs}
    for config in configs:
        assert config["data"]["root"] == "DATA"
        # A fresh clone has no parents.
        assert config["train_parent"] == (config["parent"] == "auto")


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_packed_file_can_describe_the_network_of_an_experiment(experiment: str) -> None:
    architecture, arguments = architecture_of(compose_config("train", [f"experiment={experiment}"]))
    skeleton(architecture, json.loads(json.dumps(arguments)))


@pytest.mark.parametrize(
    "experiment", [name for name in EXPERIMENTS if not name.startswith("authors_code/")]
)
def test_an_experiment_quotes_the_paper(experiment: str) -> None:
    """Those of the authors' code quote the released logs instead."""
    quoted = re.findall(r"(\d+\.\d+)%", " ".join(header_of(experiment)))
    assert tuple(map(float, quoted)) == REPORTED.get(experiment, ())


#: The settings of each quantizer config according to its sources. Spelled out, because a slip in
#: a preset would turn it into another method.
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
#: The class of a config that is not named after one.
VARIANTS = {
    "ttq_paper": "ttq", "ttq_authors_code": "ttq", "ttq_sparsity": "ttq",
    "twn_per_filter": "twn", "bwn_authors_code": "bwn",
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
    name = VARIANTS.get(quantizer, quantizer).replace("_", "")
    assert type(module).__name__.lower() == name
    if quantizer.startswith("ttq"):
        expected |= EVERY_TTQ
        assert [p.item() for p in module.parameters()] == [1.0, 1.0]
    if quantizer.endswith("_connect"):
        expected |= EVERY_CONNECT
    assert {name: getattr(module, name) for name in expected} == expected


#: Optimizer, batch and L2 of each group of recipes.
RECIPES = {
    "paper": ("SGD", 128, 2e-4), "short": ("SGD", 128, 2e-4), "smoke": ("SGD", 32, 2e-4),
    "paper_finetune": ("SGD", 128, 2e-4), "paper_cycle": ("SGD", 128, 2e-4),
    "paper_ttq": ("SGD", 128, 2e-4), "paper_log_epochs": ("SGD", 256, 2e-4),
    "paper_authors_code": ("SGD", 256, 2e-4), "short_authors_code": ("SGD", 256, 2e-4),
    "short_6_epochs": ("SGD", 128, 2e-4),
    "paper_alexnet": ("Adam", 128, 5e-6), "short_alexnet": ("Adam", 64, 5e-6),
    "paper_resnet18": ("SGD", 256, 1e-4), "short_resnet18": ("SGD", 64, 1e-4),
    "paper_resnet18_adam": ("Adam", 256, 5e-6), "short_resnet18_adam": ("Adam", 64, 5e-6),
}  # fmt: skip


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_as_documented(recipe: str) -> None:
    node = compose_config("train", [f"recipe={recipe}"])["recipe"]
    optimizer = node["optimizer"]
    kind = optimizer["_target_"].rpartition(".")[2]
    assert (kind, node["batch_size"], optimizer["weight_decay"]) == RECIPES[recipe]
    assert optimizer.get("momentum") == (0.9 if kind == "SGD" else None)


def test_the_shortest_cycle_is_the_short_one_in_fewer_epochs() -> None:
    node, usual = (
        compose_config("train", [f"recipe={name}"])["recipe"]
        for name in ("short_6_epochs", "short")
    )
    assert node == usual | {"name": "short_6_epochs", "parent": "short_6_epochs", "epochs": 6}


#: Experiments by which ends of their networks are quantized, first and last.
ENDS = {
    "table3/resnet18b_bwn": (True, True),
    "authors_code/resnet20_ttq": (False, True),
    "authors_code/alexnet_bn_ttq": (False, False),
}
CIFAR10_FOLDERS = ("table1", "figure5", "methods", "best_ternary")


@pytest.mark.parametrize(
    "experiment", [one for one in EXPERIMENTS if not one.endswith(("_fp", "_dropout", "_control"))]
)
def test_the_ends_that_are_quantized_are_those_of_the_paper(experiment: str) -> None:
    policy = compose_config("train", [f"experiment={experiment}"])["policy"]
    usual = False, experiment.split("/")[0] in CIFAR10_FOLDERS
    ends = policy["quantize_first"], policy["quantize_last"]
    assert ends == ENDS.get(experiment, usual)


@pytest.mark.parametrize("depth", TABLE1)
def test_a_resnet_is_as_deep_as_its_name(depth: int) -> None:
    assert compose_config("train", [f"model=resnet{depth}"])["model"]["depth"] == depth


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
    """If a schedule has rates of its own, the highest one follows it."""
    node = compose_config("train", [f"recipe={recipe}", "recipe.optimizer.lr=0.0123"])["recipe"]
    assert node["schedule"].get("max_lr", 0.0123) == 0.0123


@pytest.mark.parametrize("artifact", choices("artifact"))
def test_artifact_names_what_is_there(artifact: str) -> None:
    node = compose_config("reproduce", [f"artifact={artifact}"])["artifact"]
    assert node["name"] == artifact
    assert callable(get_method(node["render"]))
    assert set(node["budgets"]) == {"paper", "short", "smoke"}
    assert {cell["experiment"] for cell in node["cells"]} <= set(EXPERIMENTS)
    assert all(cell.get("budgets", {}).keys() <= node["budgets"].keys() for cell in node["cells"])
    assert all(cell.get("at", "paper") in node["budgets"] for cell in node["cells"])
