"""The cells of an artifact: which experiments a table or figure is drawn from."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ttq_repro.checks import check_choice, check_list, check_option
from ttq_repro.data.node import is_of_photographs
from ttq_repro.errors import UserError
from ttq_repro.files import ROOT
from ttq_repro.runs.config import Config, choices, compose_config, without
from ttq_repro.runs.hardware import PRECISIONS
from ttq_repro.runs.run import RESULT_BUDGETS, Run
from ttq_repro.runs.workspace import Workspace

#: The keys of an entry of ``artifact.cells`` that are not labels.
KEYS = ("experiment", "overrides", "budgets", "at", "precision")
#: Labels by which a command chooses among cells, with their variables in the Makefile. Each command
#: is for one of ``PLACES``: a set of depths and methods is not what two lists of them choose.
PLACES = {"depth": "DEPTHS", "stage": "STAGES"}
SELECTORS = {"method": "METHODS", "change": "CHANGES"}
#: The variables of the Makefile as options of ``scripts/reproduce.py``.
OPTIONS = {
    "BUDGET": "budget", "DEPTHS": "+only.depth", "PRECISION": "precision", "DEVICES": "devices",
    "DATA": "dataset", "SEEDS": "seeds", "DATA_DIR": "data_dir", "WORKSPACE": "workspace",
    "STAGES": "+only.stage", "METHODS": "+only.method", "CHANGES": "+only.change",
}  # fmt: skip
#: Options of training that a request sets for all of its cells, and by which of its own.
SET_BY = {
    "seed": "seeds", "workspace": "workspace", "data.root": "data_dir",
    "trainer.precision": "precision", "trainer.devices": "devices",
}  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One experiment of an artifact at one budget.

    Attributes:
        labels: its place in the table or figure, such as ``{"depth": 20}``.
        overrides: those that the artifact applies to the experiment.
        run: the run that fills it, at any seed.
        budget: ``paper``, ``short`` or ``smoke``.
        request: the request for the artifact, see :func:`cells_of`.
    """

    labels: dict[str, Any]
    overrides: list[str]
    run: Run
    budget: str
    request: Config

    @property
    def setting(self) -> str:
        """Budget, precision, ``plain`` and processes if several: shared by the runs of a row."""
        trainer, processes = self.run.config["trainer"], self.run.processes
        plain = ", plain" if trainer["plain"] else ""
        together = f", {processes} processes" if processes > 1 else ""
        return f"{self.budget}, {trainer['precision']}{plain}{together}"


def commands(cells: Iterable[Cell], seeds: int = 1) -> list[str]:
    """The shell commands that train cells at the seeds from 1 to ``seeds``.

    Cells of one depth and stage share a command, which names their methods or changes unless they
    are all that there are. Paths, which matter only on this machine, are replaced by dots.
    """
    together: dict[str, list[Cell]] = {}
    for cell in cells:
        together.setdefault(_command(cell, seeds), []).append(cell)
    return [f"{command}{_selected(chosen)}" for command, chosen in together.items()]


def _selected(chosen: list[Cell]) -> str:
    """What selects cells that share a command, empty if it trains no others."""
    first = chosen[0]
    place = {label: first.labels.get(label) for label in PLACES}
    entries = _at(first.request["artifact"], first.budget)
    siblings = [e for e in entries if {label: e.get(label) for label in PLACES} == place]
    for label, variable in SELECTORS.items():
        values = dict.fromkeys(str(cell.labels.get(label)) for cell in chosen)
        if not {str(entry.get(label)) for entry in siblings} <= values.keys():
            return f" {_given(first, variable, ','.join(values))}"
    return ""


def _command(cell: Cell, seeds: int) -> str:
    """The command that trains the cells of an artifact that agree in all but a selector."""
    config, artifact = cell.run.config, cell.request["artifact"]["name"]
    variables = {
        "BUDGET": cell.budget,
        **{variable: cell.labels.get(label) for label, variable in PLACES.items()},
        "PRECISION": config["trainer"]["precision"],
        "DEVICES": cell.run.processes if cell.run.processes > 1 else None,
        "DATA": cell.request["dataset"],
        "SEEDS": seeds if seeds > 1 else None,
        "DATA_DIR": None if config["data"]["root"] is None else "...",
        "WORKSPACE": told_workspace(cell),
    }
    overridden = _overridden(cell.request)
    given = [
        _given(cell, name, value)
        for name, value in variables.items()
        if value is not None and OPTIONS[name] not in overridden
    ]
    if not (overrides := cell.request["overrides"]):
        return " ".join([f"make reproduce-{artifact.replace('_', '-')}", *given])
    given.append(shlex.quote(f"overrides=[{','.join(map(json.dumps, overrides))}]"))
    return " ".join([f"python scripts/reproduce.py artifact={artifact}", *given])


def told_workspace(cell: Cell) -> str | None:
    """How commands name a cell's workspace: by dots, as other paths; None for the checkout."""
    return None if Workspace.of(cell.run.config).root.resolve() == ROOT else "..."


def _given(cell: Cell, variable: str, value: object) -> str:
    """An option of a cell's command: a variable of make, which takes no overrides of trials."""
    if not cell.request["overrides"]:
        return f"{variable}={value}"
    option = OPTIONS[variable]
    return shlex.quote(f"{option}=[{value}]" if option.startswith("+only") else f"{option}={value}")


def cells_of(request: Config, budget: str) -> list[Cell]:
    """The cells that a request for an artifact (``configs/reproduce.yaml``) asks for.

    Raises:
        UserError: ``budget`` or a label in ``request["only"]`` is not one of the artifact's, no
            cell of the budget has all of the labels, the data set or the precision is unknown, or
            the data set does not suit the artifact.
    """
    artifact = request["artifact"]
    if not isinstance(request["only"], dict):
        raise UserError(f"only={request['only']}: must name labels, as in only.depth=[20]")
    check_option("budget", budget, check_choice, artifact["budgets"])
    for key, known in (("dataset", choices("data")), ("precision", PRECISIONS)):
        if request[key] is not None:
            check_option(key, request[key], check_choice, known)
    cells = []
    for entry in _chosen(_at(artifact, budget), request["only"]):
        run = _run(request, entry, budget)
        # Some entries are for one precision only.
        if entry.get("precision") in (None, run.config["trainer"]["precision"]):
            cells.append(
                Cell(without(entry, *KEYS), entry.get("overrides", []), run, budget, request)
            )
    of_photographs = "stand_in" in artifact
    if any(is_of_photographs(cell.run.config["data"]) != of_photographs for cell in cells):
        kind = "photographs" if of_photographs else "small images"
        raise UserError(f"dataset={request['dataset']}: {artifact['name']} needs {kind}")
    return cells


def result_cells(request: Config) -> list[Cell]:
    """Every cell of an artifact at every budget of results, in either precision.

    Each is listed for one process, and for every number of processes that trained any result.
    """
    counts = Workspace.of(request).process_counts()
    budgets = [budget for budget in request["artifact"]["budgets"] if budget in RESULT_BUDGETS]
    if request["dataset"] is not None:
        budgets.reverse()  # A stand-in is meant to be trained at the shorter budget: list it first.
    return [
        cell
        for budget in budgets
        for precision in PRECISIONS
        for devices in sorted({1, *counts})
        for cell in cells_of(
            request | {"only": {}, "precision": precision, "devices": devices}, budget
        )
    ]


def check_overrides(request: Config) -> None:
    """Refuse overrides of what the request itself sets, which would have no effect.

    Raises:
        UserError: there is one.
    """
    check_option("overrides", request["overrides"], check_list, may_be_empty=True)
    for option, override in _overridden(request).items():
        if option in ("seeds", "workspace") or request[option] is not None:
            raise UserError(f"overrides=[{override}]: ask for {option}=... instead")


def _overridden(request: Config) -> dict[str, str]:
    """The options of a request in whose place it has overrides of training, and these."""
    found = {}
    for override in map(str, request["overrides"]):
        key, _, value = override.lstrip("+~").partition("=")
        for path, option in SET_BY.items():
            # A node in braces stands for all of its options.
            if path == key or (path.startswith(f"{key}.") and value.startswith("{")):
                found[option] = override
    return found


def _at(artifact: Config, budget: str) -> list[Config]:
    """The entries of a budget; one with ``at`` belongs to that budget only."""
    for entry in artifact["cells"]:
        key = f"{artifact['name']}: at of a cell"
        check_option(key, entry.get("at", budget), check_choice, artifact["budgets"])
    return [entry for entry in artifact["cells"] if entry.get("at", budget) == budget]


def _chosen(entries: list[Config], only: dict[str, Any]) -> list[Config]:
    labels = sorted({label for entry in entries for label in without(entry, *KEYS)})
    for label, values in only.items():
        if label not in labels:
            raise UserError(
                f"only.{label}: the cells have no such label; they have {', '.join(labels)}"
            )
        wanted = values if isinstance(values, list) else [values]
        known = [entry[label] for entry in entries if label in entry]
        if unknown := [value for value in wanted if value not in known]:
            raise UserError(
                f"only.{label}={unknown[0]}: the artifact has no such cell at this budget; "
                f"known are {', '.join(sorted(set(map(str, known))))}"
            )
        entries = [entry for entry in entries if entry.get(label) in wanted]
    if not entries:
        raise UserError(f"only={only}: no cell of the artifact has all of these labels")
    return entries


def _run(request: Config, entry: Config, budget: str) -> Run:
    artifact = request["artifact"]
    overrides = [
        f"experiment={entry['experiment']}",
        f"logger.group={artifact['name']}",
        "train_parent=true",
    ]
    if request["dataset"] is not None:
        overrides.append(f"data={request['dataset']}")
    # An entry may have a recipe of its own at a budget.
    budgets = artifact["budgets"] | entry.get("budgets", {})
    overrides += [*budgets[budget], *entry.get("overrides", []), *request["overrides"]]
    config = compose_config("train", overrides)
    config["workspace"] = request["workspace"]
    if request["precision"] is not None:
        config["trainer"]["precision"] = request["precision"]
    if request["devices"] is not None:
        config["trainer"]["devices"] = request["devices"]
    if request["data_dir"] is not None:
        config["data"]["root"] = request["data_dir"]
    return Run(config)
