"""Identity of a run: a name, and a hash of the fields that shape the result."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from ttq_repro.checks import check_fraction, check_option, check_path, check_whole
from ttq_repro.errors import UserError
from ttq_repro.files import sha256
from ttq_repro.runs.config import Config, committed_choice, compose_config, leaves, without

RESULT_DATASETS = {"cifar10", "ilsvrc12", "imagenette", "imagenette_full"}
#: The data sets of the paper; any other is a stand-in for one of them.
PAPERS_DATASETS = ("cifar10", "ilsvrc12")
RESULT_BUDGETS = {"short", "paper"}
#: Options of a distillation that are floats, see :func:`_typed`.
FRACTIONS = {"weight": 0.0, "temperature": 0.0}
#: An option that the first records lack.
REESTIMATION = "reestimate_batch_norm"
#: The largest seed that torch accepts.
HIGHEST_SEED = 2**63 - 1
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class RunKey(NamedTuple):
    """What tells a run from all others."""

    identity: str
    seed: int

    def __str__(self) -> str:
        return f"{self.identity} seed {self.seed}"


@dataclass(frozen=True)
class Run:
    """One training run, defined by its resolved config (``configs/train.yaml``).

    Raises:
        UserError: the seed, the number of processes, the share of images held out or the parent is
            invalid, or a name cannot be part of a file name.
    """

    config: Config

    def __post_init__(self) -> None:
        check_option("seed", self.seed, check_whole, 0, HIGHEST_SEED)
        check_option("trainer.devices", self.processes, check_whole, 1)
        if "held_out" in self.config["data"]:
            check_option("data.held_out", self.config["data"]["held_out"], check_fraction)
        check_option("parent", self.config["parent"], check_path)
        for group in ("model", "quantizer", "data", "recipe"):
            name = self.config[group]["name"]
            # A number on a command line, such as 2012, is not read as a string.
            if not isinstance(name, str) or not NAME.fullmatch(name):
                raise UserError(
                    f"{group}.name={name}: must consist of letters, digits, '_', '-' and '.', "
                    "start with a letter or digit, and not be a number: files are named after it"
                )

    @property
    def seed(self) -> int:
        return self.config["seed"]

    def with_seed(self, seed: int) -> Run:
        """The same run at another seed."""
        return Run(self.config | {"seed": seed})

    @property
    def dataset(self) -> str:
        return self.config["data"]["name"]

    @property
    def model(self) -> str:
        return self.config["model"]["name"]

    @property
    def quantizer(self) -> str:
        return self.config["quantizer"]["name"]

    @property
    def epochs(self) -> int:
        return self.config["recipe"]["epochs"]

    @property
    def processes(self) -> int:
        """How many processes train it, on a shard of every batch each."""
        return self.config["trainer"]["devices"]

    @cached_property
    def parent(self) -> Run | None:
        """The full-precision run that ``parent: auto`` stands for.

        It shares model, data, precision and seed with its child and follows the recipe that the
        child's recipe names, as committed: overrides of the child's recipe do not affect it.
        """
        if self.config["parent"] != "auto":
            return None
        recipe = self.config["recipe"]["parent"]
        parent = compose_config("train", ["quantizer=full_precision", f"recipe={recipe}"])
        for shared in ("model", "data", "trainer", "logger", "seed", "workspace"):
            parent[shared] = self.config[shared]
        return Run(parent)

    @cached_property
    def science(self) -> Config:
        """The fields that shape the result, which :attr:`identity` hashes."""
        config, trainer = self.config, self.config["trainer"]
        model, quantizer, data, recipe = (
            _typed(config[group], committed_choice(group, config[group]["name"]))
            for group in ("model", "quantizer", "data", "recipe")
        )
        fields = {
            "model": without(model, "name"),
            "quantizer": without(quantizer, "name"),
            "policy": config["policy"],
            "data": without(data, "root", "images"),
            "recipe": without(recipe, "name", "parent"),
            "precision": trainer["precision"],
            "parent": self._parent_identity(),
        }
        images = config["data"].get("images")
        usual = committed_choice("data", self.dataset) or {}
        # Added after the first records were written: hashed only where used, so that older
        # identities still hold.
        younger = {
            "processes": self.processes if self.processes > 1 else None,
            "plain": trainer["plain"] or None,
            "images": images if images != usual.get("images") else None,
            "distillation": _typed(config["distillation"], FRACTIONS) or None,
            REESTIMATION: config.get(REESTIMATION),
        }
        return fields | {key: value for key, value in younger.items() if value is not None}

    @cached_property
    def identity(self) -> str:
        """Name and hash, equal for runs that differ only in seed, paths and logging.

        ``-xN`` before the hash means that N processes train it together.
        """
        digest = hashlib.sha256(json.dumps(self.science, sort_keys=True).encode()).hexdigest()
        together = f"-x{self.processes}" if self.processes > 1 else ""
        name = f"{self.model}-{self.quantizer}-{self.config['recipe']['name']}"
        return f"{name}{together}-{digest[:8]}"

    @property
    def public_config(self) -> Config:
        """The config without paths, which matter only on the machine that it ran on."""
        config = without(self.config, "workspace")
        by_path = config["parent"] not in ("auto", "none")
        parent = self._parent_identity() if by_path else config["parent"]
        return config | {"parent": parent, "data": config["data"] | {"root": None}}

    @property
    def name(self) -> str:
        """Identity and seed, unique to each run."""
        return str(RunKey(self.identity, self.seed))

    @cached_property
    def options(self) -> list[str]:
        """Readable differences from runs whose identity differs only in the hash.

        These are options of its model and quantizer that differ from ``configs/``, such as
        ``sparsity=0.3``, those of a policy other than the default one, those of an altered recipe,
        whether it trains a full-precision parent further, whether it is distilled, the number of
        batches that batch norm is re-estimated from, the share of images held out, and whether it
        is plain.
        """
        usual = compose_config("train", [])
        for group in ("model", "quantizer"):
            usual[group] = committed_choice(group, self.config[group]["name"]) or {}
        usual["recipe"] = self._usual_recipe()
        unusual = [
            option
            for group in ("model", "quantizer", "policy", "recipe")
            for option in _differences(self.config[group], usual[group])
        ]
        # If their recipes are the same, its parent's identity differs only in the hash.
        goes_on = self.quantizer == "full_precision" and self.config["parent"] != "none"
        further = ["trained further"] if goes_on else []
        distilled = ["distilled"] if self.config["distillation"] else []
        data = self.config["data"]
        held_out = [f"held_out={data['held_out']}"] if "held_out" in data else []
        plain = ["plain"] if self.config["trainer"]["plain"] else []
        batches = self.config.get(REESTIMATION)
        reestimated = [f"{REESTIMATION}={batches}"] if batches is not None else []
        return [*unusual, *further, *distilled, *reestimated, *held_out, *plain]

    @property
    def label(self) -> str:
        """:attr:`name` and :attr:`options`."""
        return f"{self.name} ({', '.join(self.options)})" if self.options else self.name

    @property
    def is_result(self) -> bool:
        """Whether it belongs in results/: a real data set and an unaltered recipe of a budget."""
        recipe = self.config["recipe"]
        return (
            self.dataset in RESULT_DATASETS
            and recipe["name"].split("_")[0] in RESULT_BUDGETS
            and recipe == committed_choice("recipe", recipe["name"])
        )

    def _usual_recipe(self) -> Config:
        """Its recipe as committed; its own if there is none of that name."""
        recipe = self.config["recipe"]
        if committed_choice("recipe", recipe["name"]) is None:
            return recipe
        # One of the recipes takes smaller steps if there is a parent.
        parent = "none" if self.config["parent"] == "none" else "auto"
        overrides = [f"recipe={recipe['name']}", f"parent={parent}"]
        return compose_config("train", overrides)["recipe"]

    def _parent_identity(self) -> str | None:
        parent = self.config["parent"]
        if parent == "none":
            return None
        if self.parent is not None:
            return self.parent.identity
        if not Path(parent).is_file():
            raise UserError(
                f"parent={parent}: no such file; give a safetensors file of float weights, "
                "or `auto`, or `none`"
            )
        return sha256(Path(parent))


def _differences(node: Config, usual: Config) -> list[str]:
    """The options of a node and of those below it that differ, with as little of their paths as
    tells them apart: the last name, unless two options of the node share it.
    """
    options, usual = leaves(node), leaves(usual)
    names = Counter(_last(path) for path in options)
    return [
        f"{path if names[_last(path)] > 1 else _last(path)}={value}"
        for path, value in options.items()
        if path not in usual or usual[path] != value
    ]


def _last(path: str) -> str:
    return path.rpartition(".")[2]


def _typed(node: Any, usual: Any) -> Any:
    """``node`` with floats wherever ``usual`` has them, so that 1 and 1.0 are the same run."""
    if isinstance(node, dict) and isinstance(usual, dict):
        return {key: _typed(value, usual.get(key)) for key, value in node.items()}
    return float(node) if type(node) is int and type(usual) is float else node
