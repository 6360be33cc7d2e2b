"""What wandb keeps of an offline run, read by its own viewer, and what it is sent online."""

from __future__ import annotations

import csv
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import wandb

from tests.conftest import stopped_at
from ttq_repro.deploy.export import export
from ttq_repro.errors import TrainingError, UserError
from ttq_repro.runs.config import compose_config
from ttq_repro.runs.execute import execute
from ttq_repro.runs.run import Run
from ttq_repro.runs.workspace import Workspace
from ttq_repro.training.module import Classifier

WANDB = Path(sys.executable).with_name("wandb")


def test_an_offline_run_reads_back(tiny_run: Callable[..., Run]) -> None:
    options = ["quantizer=ttq", "quantizer.threshold=0.1", "recipe.epochs=2"]
    run = tiny_run(*options, "logger.wandb=offline", "logger.group=table1")
    said: list[str] = []
    record = execute(run, say=said.append)
    (folder,) = Workspace.of(run.config).scratch(run).glob("wandb/offline-run-*")
    assert folder_offered(said) == folder
    entries = read_back(folder)
    (begun,) = (entry["run"] for entry in entries if entry["type"] == "run")
    assert begun["display_name"] == f"{run.name} (depth=8, threshold=0.1, epochs=2)"
    assert begun["run_group"] == "table1"
    assert {"digits", "ttq", "smoke", "threshold=0.1"} <= set(begun["tags"])
    config = begun["config"]["update"]
    assert config["quantizer"]["threshold"] == 0.1
    assert "workspace" not in config, "no path of this machine"
    steps = {entry["metric"].get("step_metric") for entry in entries if entry["type"] == "metric"}
    assert "epoch" in steps
    history = history_of(entries)
    errors = [item["test_error"] for item in history if "test_error" in item]
    assert [round(error, 5) for error in errors] == [
        round(error, 5) for error in record.metrics["test_error"]
    ]
    scales = [item["linear/negative_scale"] for item in history if "linear/zero" in item]
    assert len(scales) == 2


def read_back(folder: Path) -> list[dict[str, Any]]:
    command = [str(WANDB), "leet", "inspect", "--json", str(folder)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in lines.splitlines()]


def history_of(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [entry["history"]["item"] for entry in entries if entry["type"] == "history"]


def folder_offered(said: list[str]) -> Path:
    """The folder in the shell commands of the last line about wandb."""
    *_, hint = (line for line in said if line.startswith("wandb:"))
    (_, show, shown), (_, upload, uploaded) = map(shlex.split, re.findall("`(.*?)`", hint))
    assert (show, upload) == ("leet", "sync")
    assert shown == uploaded
    return Path(shown)


def test_a_resumed_run_logs_its_past_too(tiny_run: Callable[..., Run], tmp_path: Path) -> None:
    options = ["quantizer=ttq", "recipe.epochs=3", "logger.wandb=offline", "logger.csv=true"]
    undisturbed = tiny_run(*options)
    resumed = Run(undisturbed.config | {"workspace": str(tmp_path / "with a space")})
    said: list[str] = []
    execute(undisturbed, say=said.append)
    expected = history_of(read_back(folder_offered(said)))
    with stopped_at(2):
        execute(resumed, say=said.append)
    assert len(history_of(read_back(folder_offered(said)))) == 2
    execute(resumed, say=said.append)
    found = history_of(read_back(folder_offered(said)))
    assert [item["epoch"] for item in found] == [0, 1, 2]
    for item, wanted in zip(found, expected, strict=True):
        by_clock = {key for key in item if key in ("_timestamp", "_runtime")}
        values = {key: value for key, value in wanted.items() if key not in by_clock}
        assert {key: item[key] for key in item if key not in by_clock} == pytest.approx(
            values, 1e-5
        )
    assert epochs_in_csv(resumed, 1) == epochs_in_csv(undisturbed, 0) == ["0", "1", "2"]


def epochs_in_csv(run: Run, version: int) -> list[str]:
    path = Workspace.of(run.config).scratch(run) / f"csv/version_{version}/metrics.csv"
    with path.open() as stream:
        return [row["epoch"] for row in csv.DictReader(stream)]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, list[str]]]:
    """What wandb would send if it were online: the verb, the artifact's name, its files."""
    sent: list[tuple[str, str, list[str]]] = []
    begin = wandb.init

    def remember(verb: str, artifact: wandb.Artifact) -> None:
        sent.append((verb, artifact.name, sorted(artifact.manifest.entries)))

    def begin_offline(**options: Any) -> wandb.Run:
        window = begin(**options | {"mode": "offline", "resume": "allow"})
        monkeypatch.setattr(type(window), "offline", property(lambda _: False))
        monkeypatch.setattr(window, "use_artifact", partial(remember, "use"))
        monkeypatch.setattr(window, "log_artifact", partial(remember, "log"))
        return window

    monkeypatch.setattr(wandb, "init", begin_offline)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    return sent


def test_networks_are_linked_from_parent_to_packed(
    tiny_run: Callable[..., Run], tmp_path: Path, server: list[tuple[str, str, list[str]]]
) -> None:
    run = tiny_run("quantizer=ttq", "parent=auto", "recipe.epochs=1", "logger.wandb=online")
    execute(run)
    assert run.parent is not None
    parent, child = f"{run.parent.identity}-seed1", f"{run.identity}-seed1"
    file = ["seed1.safetensors"]
    trained = [("log", parent, file), ("use", parent, file), ("log", child, file)]
    assert server == trained
    record = Workspace.of(run.config).record(run)
    out = tmp_path / "net.safetensors"
    asked = [f"run={record}", f"out={out}", f"workspace={tmp_path}"]
    export(compose_config("export", asked))
    assert server == trained
    export(compose_config("export", [*asked, "link=true"]))
    packed = ("log", f"{child}-packed", ["net.safetensors"])
    assert server == [*trained, ("use", child, file), packed]


def test_a_parent_of_ones_own_is_linked_too(
    tiny_run: Callable[..., Run], server: list[tuple[str, str, list[str]]]
) -> None:
    parent = tiny_run("recipe.epochs=1")
    execute(parent)
    weights = Workspace.of(parent.config).weights(parent)
    mine = weights.rename(weights.with_name("my own.safetensors"))
    child = tiny_run("quantizer=ttq", f"parent='{mine}'", "recipe.epochs=1", "logger.wandb=online")
    execute(child)
    verb, name, files = server[0]
    assert verb == "use"
    assert re.fullmatch("parent-[0-9a-f]{12}", name)
    assert files == ["my own.safetensors"]


def test_offline_nothing_is_linked_and_a_refusal_is_a_warning(
    tiny_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    execute(tiny_run("recipe.epochs=1", "logger.wandb=offline"), say=said.append)
    assert not any("did not accept" in line for line in said)

    def refuse(*_: object) -> None:
        raise wandb.Error("no quota")

    monkeypatch.setattr("ttq_repro.runs.loggers.link_trained", refuse)
    run = tiny_run("recipe.epochs=1", "logger.wandb=offline", "seed=2")
    execute(run, say=said.append)
    assert "warning: wandb did not accept the network: no quota" in said
    assert Workspace.of(run.config).record(run).is_file()


def test_a_server_out_of_reach_does_not_stop_a_run(
    tiny_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = wandb.init

    def begin_offline(mode: str, **options: Any) -> wandb.Run:
        if mode == "online":
            raise wandb.errors.CommError("no such host\nand advice")
        return begin(mode=mode, **options)

    monkeypatch.setattr(wandb, "init", begin_offline)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    said: list[str] = []
    execute(tiny_run("recipe.epochs=1", "logger.wandb=online"), say=said.append)
    assert "warning: logger.wandb=online: no such host; logged offline instead" in said
    assert len(history_of(read_back(folder_offered(said)))) == 1


def test_online_needs_a_key_before_anything_is_trained(
    tiny_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ttq_repro.runs.check.has_key", lambda _: False)
    with pytest.raises(UserError, match=r"^logger\.wandb=online: no API key for the server"):
        execute(tiny_run("logger.wandb=online"))


@pytest.mark.parametrize(
    ("project", "said"),
    [
        ("a/b", ": Invalid project name 'a/b'"),
        ("2024", ", or WANDB_... in the environment: project: Input should be a valid string"),
    ],
)
def test_an_option_that_wandb_refuses_is_one_line(
    project: str, said: str, tiny_run: Callable[..., Run]
) -> None:
    with pytest.raises(UserError, match=rf"^logger{said}") as refused:
        execute(tiny_run("logger.wandb=offline", f"logger.project={project}"))
    assert len(str(refused.value).splitlines()) == 1


def test_long_options_are_cut_to_what_wandb_takes_as_a_tag(tiny_run: Callable[..., Run]) -> None:
    drops = "[5,10,15,20,25,30,35,40,45,50,55,60,65,70,75,80]"
    run = tiny_run("recipe=smoke", "recipe.epochs=1", "logger.wandb=offline")
    long = tiny_run(
        "recipe=paper", "recipe.epochs=1", f"recipe.schedule.milestones={drops}",
        "logger.wandb=offline",
    )  # fmt: skip
    assert max(map(len, run.options), default=0) <= 64 < max(map(len, long.options))
    said: list[str] = []
    execute(long, say=said.append)
    assert len(history_of(read_back(folder_offered(said)))) == 1


def test_a_run_that_failed_is_one_in_wandb_too(
    tiny_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    codes: list[int] = []

    def fail(_: Classifier) -> None:
        raise TrainingError("diverged")

    def finish(_: wandb.Run, exit_code: int | None = None) -> None:
        codes.append(exit_code or 0)

    monkeypatch.setattr(wandb.Run, "finish", finish)
    execute(tiny_run("recipe.epochs=1", "logger.wandb=offline"))
    monkeypatch.setattr(Classifier, "on_train_epoch_start", fail)
    with pytest.raises(TrainingError, match="diverged"):
        execute(tiny_run("recipe.epochs=1", "logger.wandb=offline", "seed=2"))
    assert codes == [0, 1]


def test_a_run_that_wandb_does_not_have_cannot_be_linked(
    tiny_run: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(**_: object) -> None:
        raise wandb.errors.UsageError("no such run\nand more")

    monkeypatch.setattr(wandb, "init", absent)
    run = tiny_run("quantizer=ttq", "recipe.epochs=1")
    execute(run)
    record, out = Workspace.of(run.config).record(run), tmp_path / "net.safetensors"
    asked = [f"run={record}", f"out={out}", f"workspace={tmp_path}", "link=true"]
    with pytest.raises(UserError, match=r"^link=true: no such run$"):
        export(compose_config("export", asked))
    assert out.is_file()
