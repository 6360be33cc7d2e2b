"""What wandb keeps of an offline run, read back by its own viewer."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from ttq_repro.runs.execute import execute
from ttq_repro.runs.run import Run
from ttq_repro.runs.workspace import Workspace

WANDB = Path(sys.executable).with_name("wandb")


def test_an_offline_run_reads_back(tiny_run: Callable[..., Run]) -> None:
    run = tiny_run("quantizer=ttq", "recipe.epochs=2", "logger=default", "logger.group=table1")
    said: list[str] = []
    record = execute(run, say=said.append)
    (folder,) = Workspace.of(run.config).scratch(run).glob("wandb/offline-run-*")
    (hint,) = (line for line in said if line.startswith("wandb:"))
    assert f"`wandb leet {folder}`" in hint
    assert f"`wandb sync {folder}`" in hint
    command = [str(WANDB), "leet", "inspect", "--json"]
    lines = subprocess.run([*command, str(folder)], check=True, capture_output=True, text=True)
    entries = [json.loads(line) for line in lines.stdout.splitlines()]
    (begun,) = (entry["run"] for entry in entries if entry["type"] == "run")
    assert begun["display_name"] == run.name
    assert begun["run_group"] == "table1"
    assert {"digits", "ttq", "smoke"} <= set(begun["tags"])
    config = begun["config"]["update"]
    assert config["quantizer"]["threshold"] == 0.05
    assert "workspace" not in config, "no path of this machine"
    steps = {entry["metric"].get("step_metric") for entry in entries if entry["type"] == "metric"}
    assert "epoch" in steps
    history = [entry["history"]["item"] for entry in entries if entry["type"] == "history"]
    errors = [item["test_error"] for item in history if "test_error" in item]
    assert [round(error, 5) for error in errors] == [
        round(error, 5) for error in record.metrics["test_error"]
    ]
    scales = [item["linear/negative_scale"] for item in history if "linear/zero" in item]
    assert len(scales) == 2
