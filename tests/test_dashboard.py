"""The wandb workspace draws what runs log."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ttq_repro.dashboard import BY_LAYER, CURVES, SPARSITY, SWEPT, dashboard
from ttq_repro.errors import UserError
from ttq_repro.files import ROOT
from ttq_repro.runs.config import compose_config
from ttq_repro.runs.record import read_records


@pytest.fixture(autouse=True)
def _logged_out(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.delenv("NETRC", raising=False)


def request(tmp_path: Path, **changes: object) -> dict[str, object]:
    return compose_config("dashboard", []) | {"out": str(tmp_path / "workspace.json")} | changes


@pytest.mark.parametrize("key", [None, ""])
def test_it_is_written_without_a_server(
    key: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    if key is not None:
        monkeypatch.setenv("WANDB_API_KEY", key)
    dashboard(request(tmp_path))
    spec = json.loads((tmp_path / "workspace.json").read_text())["spec"]
    sections = spec["section"]["panelBankConfig"]["sections"]
    kinds = {panel["viewType"] for section in sections for panel in section["panels"]}
    assert {"Run History Line Plot", "Scatter Plot", "Parallel Coordinates Plot"} <= kinds


@pytest.mark.parametrize(
    ("out", "why"),
    [
        ("notes.txt", r"notes\.txt: must end in \.json$"),
        ("folder.json", r"folder\.json: Is a directory$"),
        ("notes.txt/new.json", r"new\.json: (Not a directory|File exists)$"),
    ],
)
def test_a_place_where_it_cannot_be_written_is_named(out: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("kept")
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(UserError, match=why):
        dashboard(request(tmp_path, out=str(tmp_path / out)))
    assert (tmp_path / "notes.txt").read_text() == "kept"


def test_only_a_workspace_is_overwritten(tmp_path: Path) -> None:
    record = tmp_path / "workspace.json"
    for kept in ('{"seed": 1}', "[1]", "not JSON"):
        record.write_text(kept)
        with pytest.raises(UserError, match=r"workspace\.json: exists and is not a workspace of"):
            dashboard(request(tmp_path))
        assert record.read_text() == kept
    record.unlink()
    for project in ("old", "new"):
        dashboard(request(tmp_path, project=project))
    assert '"new"' in record.read_text()


@pytest.mark.parametrize(
    ("key", "value"), [("entity", 2024), ("project", 2024), ("project", None), ("project", "")]
)
def test_a_name_that_is_none(key: str, value: object, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"^{key}={value}: must (be text|not be empty)"):
        dashboard(request(tmp_path, **{key: value}))


def test_a_key_needs_an_entity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    with pytest.raises(UserError, match="entity=null"):
        dashboard(request(tmp_path))


def test_its_metrics_are_those_of_a_ternary_run() -> None:
    records = read_records(ROOT / "results" / "records", warn=pytest.fail)
    ternary = next(record for record in records if record.layers)
    assert {SPARSITY, *CURVES.values()} <= {*ternary.metrics}
    logged = [f"{layer}/{name}" for layer, by in ternary.layers.items() for name in by]
    for pattern in BY_LAYER.values():
        assert len([name for name in logged if re.fullmatch(pattern, name)]) == len(ternary.layers)


def test_its_columns_are_fields_of_a_config() -> None:
    config = compose_config("train", ["quantizer=ttq_sparsity"])
    for path in SWEPT:
        node = config
        for key in path.split("."):
            assert key in node, path
            node = node[key]
