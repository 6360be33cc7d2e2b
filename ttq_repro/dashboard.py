"""The wandb workspace of this project as code: error, scales, sparsity, and the sweep."""

from __future__ import annotations

import json
from collections.abc import Set
from contextlib import suppress
from pathlib import Path
from typing import Any

import wandb_workspaces.reports.v2 as panels
import wandb_workspaces.workspaces as workspaces

from ttq_repro.checks import check_option, check_path, check_text
from ttq_repro.errors import UserError
from ttq_repro.files import ROOT, check_out, write_out
from ttq_repro.runs.config import Config
from ttq_repro.runs.wandb_run import has_key
from ttq_repro.runs.workspace import Workspace

METHOD = "config.quantizer.name"
ERROR = "test_error"
#: The measured sparsity, which runs with a fixed threshold log too.
SPARSITY = "sparsity"
#: The metrics that are drawn by epoch.
CURVES = {"Test error": ERROR, "Training error": "train_error", "Learning rate": "learning_rate"}
#: Patterns of the per-layer metrics that the LightningModule logs.
BY_LAYER = {
    "W_p by layer": r".*/positive_scale",
    "W_n by layer": r".*/negative_scale",
    "Share of zeros by layer": r".*/zero",
}
SWEPT = ("quantizer.name", "quantizer.threshold", "quantizer.sparsity", "model.depth", "seed")


def dashboard(request: Config) -> None:
    """Write the workspace as JSON and, if there is an API key, save it to the server.

    Raises:
        UserError: ``out`` is not a path that ends in .json, cannot be written, or exists and is
            not a workspace; the key is malformed, ``entity`` or ``project`` is not a name, or there
            is a key but no ``entity``.
    """
    check_option("out", request["out"], check_path)
    path = Path(request["out"])
    if path.suffix != ".json":
        raise UserError(f"out={path}: must end in .json")
    entity, project = request["entity"], request["project"]
    for key, value in (("entity", entity or "entity"), ("project", project)):
        check_option(key, value, check_text)
    workspace = build(entity or "entity", project)
    content = as_json(workspace)
    check_out(path, "a workspace of wandb", lambda path: content.keys() <= _keys(path))
    write_out(path, json.dumps(content, indent=1).encode())
    print(f"written to {path}")
    if not has_key(Workspace(ROOT)):
        print("not saved to the server: no API key; run `wandb login`")
        return
    if entity is None:
        raise UserError("entity=null: name the user or team that owns the project")
    print(f"saved: {workspace.save().url}")


def build(entity: str, project: str) -> workspaces.Workspace:
    """Sections of panels over all runs of ``project``, grouped by method and artifact."""
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name="Trained Ternary Quantization",
        sections=[
            workspaces.Section(
                name="Error",
                is_open=True,
                panels=[
                    panels.LinePlot(title=title, x="epoch", y=[metric], groupby=METHOD)
                    for title, metric in CURVES.items()
                ],
            ),
            workspaces.Section(
                name="Scales and sparsity",
                is_open=True,
                panels=[
                    panels.LinePlot(title=title, x="epoch", metric_regex=pattern)
                    for title, pattern in BY_LAYER.items()
                ],
            ),
            workspaces.Section(
                name="Sweep",
                panels=[
                    panels.ScatterPlot(
                        title="Error against sparsity",
                        x=panels.SummaryMetric(SPARSITY),
                        y=panels.SummaryMetric(ERROR),
                    ),
                    panels.ParallelCoordinatesPlot(
                        title="Options and error",
                        columns=[
                            *[
                                panels.ParallelCoordinatesPlotColumn(panels.Config(field))
                                for field in SWEPT
                            ],
                            panels.ParallelCoordinatesPlotColumn(panels.SummaryMetric(ERROR)),
                        ],
                    ),
                ],
            ),
        ],
        runset_settings=workspaces.RunsetSettings(
            groupby=[workspaces.Metric("Group"), workspaces.Config("quantizer.name")]
        ),
    )


def _keys(path: Path) -> Set[str]:
    """The keys of a JSON object, none if the file is something else."""
    with suppress(OSError, ValueError):
        found = json.loads(path.read_bytes())
        if isinstance(found, dict):
            return found.keys()
    return set()


def as_json(workspace: workspaces.Workspace) -> dict[str, Any]:
    """The workspace in the form that the server stores."""
    return json.loads(workspace._to_model().model_dump_json(by_alias=True, exclude_none=True))
