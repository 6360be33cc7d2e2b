"""Reproducing an artifact: its plan, the missing runs, its rendering."""

from __future__ import annotations

import sys

from ttq_repro.errors import TrainingError, UserError
from ttq_repro.report.table1 import Cell, render
from ttq_repro.runs.config import Config, compose_config
from ttq_repro.runs.plan import Plan, make_plan
from ttq_repro.runs.run import RESULT_DATASETS, Run
from ttq_repro.runs.workspace import Workspace

BUDGETS = {"paper": [], "short": ["recipe=short"], "smoke": ["recipe=smoke"]}


def reproduce(config: Config) -> None:
    """Print the plan, train what is missing, render (``configs/reproduce.yaml``)."""
    if config["budget"] not in BUDGETS:
        raise UserError(f"budget={config['budget']}: must be one of {', '.join(BUDGETS)}")
    if not isinstance(config["seeds"], int) or config["seeds"] < 1:
        raise UserError(f"seeds={config['seeds']}: must be a whole number from 1")
    workspace = Workspace.of(config)
    cells = table1_cells(config)
    seeds = range(1, config["seeds"] + 1)
    plan = make_plan((cell.run.with_seed(seed) for seed in seeds for cell in cells), workspace)
    _announce(config, plan)
    if config["dry_run"]:
        return
    _train(plan)
    home = workspace.home(is_result=cells[0].run.is_result)
    print()
    print(render(_with_every_budget(config, cells), workspace, home / "tables"))
    print(f"written to {home / 'tables'}")


def table1_cells(config: Config) -> list[Cell]:
    """One run for every cell of Table 1 at the budget that ``config`` asks for."""
    cells = []
    for depth in config["artifact"]["depths"]:
        for column, suffix in (("full_precision", "fp"), ("ttq", "ttq")):
            experiment = f"table1/resnet{depth}_{suffix}"
            overrides = [f"experiment={experiment}", f"data={config['data']}", "train_parent=true"]
            overrides += [*BUDGETS[config["budget"]], *config["overrides"]]
            composed = compose_config("train", overrides)
            composed["workspace"] = config["workspace"]
            if config["data_dir"] is not None:
                composed["data"]["root"] = config["data_dir"]
            cells.append(Cell(depth, column, Run(composed), _command(config, depth)))
    return cells


def _with_every_budget(config: Config, cells: list[Cell]) -> list[Cell]:
    """The cells to render: for results, every depth and budget; otherwise those just trained."""
    if config["data"] not in RESULT_DATASETS or config["budget"] == "smoke" or config["overrides"]:
        return cells
    everything = []
    for budget in ("paper", "short"):
        request = config | {"budget": budget, "artifact": {"depths": [20, 32, 44, 56]}}
        everything += table1_cells(request)
    return everything


def _announce(config: Config, plan: Plan) -> None:
    source = config["data_dir"] or ("embedded" if config["data"] == "digits" else "./data")
    print(
        f"{config['artifact']['name']}: budget {config['budget']}, data {config['data']} ({source})"
    )
    print("\n".join(plan.lines()))
    if config["budget"] == "paper" and plan.missing and plan.device.startswith("CPU"):
        print("on a CPU, BUDGET=short takes 30 epochs a run instead of 160 and more")


def _train(plan: Plan) -> None:
    """Train the missing runs; one that fails does not stop those that do not need it."""
    if not plan.missing:
        return
    from ttq_repro.runs.execute import execute

    failed: dict[str, str] = {}
    for number, planned in enumerate(plan.missing, 1):
        run = planned.run
        name = f"{run.identity} seed {run.seed}"
        print(f"\nrun {number} of {len(plan.missing)}")
        try:
            execute(run)
        except TrainingError as error:
            failed[name] = str(error)
            print(f"failed: {name}: {error}", file=sys.stderr)
        except (KeyboardInterrupt, SystemExit):
            print("\nstopped; the same command goes on from the last whole epoch", file=sys.stderr)
            raise
    if failed:
        raise TrainingError(
            f"{len(failed)} of {len(plan.missing)} runs failed; the same command tries them again: "
            + "; ".join(f"{name}: {why}" for name, why in failed.items())
        )


def _command(config: Config, depth: int) -> str:
    return f"make reproduce-table1 BUDGET={config['budget']} DEPTHS={depth} DATA_DIR=..."
