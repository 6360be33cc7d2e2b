"""Reproducing an artifact: plan it, train the missing runs, draw it."""

from __future__ import annotations

from ttq_repro.checks import check_option, check_whole
from ttq_repro.errors import NothingToDrawError, TrainingError, UserError
from ttq_repro.report.draw import draw
from ttq_repro.report.released_log import checked_folder
from ttq_repro.runs.cell import Cell, cells_of, check_overrides
from ttq_repro.runs.config import Config
from ttq_repro.runs.hardware import has_gpu, precision_warning
from ttq_repro.runs.plan import Plan, make_plan
from ttq_repro.runs.workspace import Workspace


def reproduce(request: Config) -> None:
    """Print the plan, train what is missing, draw (``configs/reproduce.yaml``)."""
    for key in ("seeds", "jobs"):
        check_option(key, request[key], check_whole, 1)
    checked_folder(request["authors_log"])
    check_overrides(request)
    workspace = Workspace.of(request)
    cells = cells_of(request, request["budget"])
    seeds = range(1, request["seeds"] + 1)
    plan = make_plan(
        (cell.run.with_seed(seed) for seed in seeds for cell in cells), workspace, request["jobs"]
    )
    # That no folder was named is not an error yet: the plan says what to provide.
    needs_images = bool(plan.missing) and request["data_dir"] is not None
    if request["measure"] and not (needs_images and plan.problem):
        from ttq_repro.runs.measure import measured

        plan = measured(plan, workspace)
    _announce(request, plan, cells)
    if needs_images and plan.problem:
        raise plan.problem
    if request["dry_run"]:
        return
    failed = _train(plan, request["jobs"])
    print()
    try:
        print(draw(request, workspace))
    except NothingToDrawError as error:  # All runs failed, or their records lack what is drawn.
        print(f"nothing is drawn: {error}")
    if failed:
        raise TrainingError(
            f"{len(failed)} of {len(plan.missing)} runs failed; the same command tries them again:"
            + "".join(f"\n  {name}: {why}" for name, why in failed.items())
        )


def _announce(request: Config, plan: Plan, cells: list[Cell]) -> None:
    data = cells[0].run.dataset
    source = cells[0].run.config["data"]["root"] or "embedded"
    budget = request["budget"]
    trainer = cells[0].run.config["trainer"]
    precision = trainer["precision"]
    print(f"{request['artifact']['name']}: budget {budget}, {precision}, data {data} ({source})")
    print("\n".join(plan.lines()))
    if warning := precision_warning(precision, trainer["accelerator"]):
        print(f"warning: {warning}")
    if (smaller := _smaller(request)) and plan.missing and not has_gpu():
        print(f"on a CPU, {smaller} takes a fraction of that")


def _smaller(request: Config) -> str | None:
    """The option that makes the request small enough for a CPU, if there is one."""
    stand_in = request["artifact"].get("stand_in")
    if stand_in and request["dataset"] is None:
        return f"DATA={stand_in}"
    if request["budget"] != "paper":
        return None
    try:
        cells_of(request, "short")
    except UserError:  # What was asked for exists at the paper's budget only.
        return None
    return "BUDGET=short"


def _train(plan: Plan, jobs: int) -> dict[str, str]:
    """Train the missing runs, and return the reason of each failed one by its name."""
    if not plan.missing:
        return {}
    from ttq_repro.runs.jobs import train_all

    return train_all([planned.run for planned in plan.missing], jobs)
