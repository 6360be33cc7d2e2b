"""`make report` draws everything under results/ again, without training."""

from __future__ import annotations

import html
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cells import put
from tests.report.made_records import made
from ttq_repro.errors import UserError
from ttq_repro.files import ROOT
from ttq_repro.paper.claims import CLAIMS
from ttq_repro.report import report as module
from ttq_repro.runs.cell import result_cells
from ttq_repro.runs.config import compose_config
from ttq_repro.runs.record import Record
from ttq_repro.runs.workspace import Workspace
from ttq_repro.table import Table

RESULTS = ROOT / "results"


def report(root: Path, authors_log: Path | None = None) -> str:
    module.report({"workspace": str(root), "authors_log": authors_log and str(authors_log)})
    return (root / "results" / "report.html").read_text()


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws tables alone, because figures take seconds."""
    monkeypatch.setattr("ttq_repro.report.report.choices", lambda _: ["comparison", "table1"])


@pytest.fixture
def workspace(workspace: Workspace) -> Workspace:
    """One with records of ResNet-20 at two budgets."""
    for cell in result_cells(compose_config("reproduce", ["+only.depth=[20]"])):
        if cell.labels["depth"] == 20 and cell.setting in ("paper, bf16", "short, bf16"):
            put(workspace, cell, *(made(cell, seed, 0.088) for seed in (1, 2)))
    return workspace


#: The tables that are drawn without figures; claims.md also tells what the authors' logs say.
TABLES = ["table1", "comparison", "ablations", "equality", "best_ternary", "table2", "table4"]


def test_what_is_committed_follows_from_the_committed_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ttq_repro.report.report.choices", lambda _: TABLES)
    for part in ("records", "benchmarks"):
        shutil.copytree(RESULTS / part, tmp_path / "results" / part)
    report(tmp_path)
    drawn = {
        path.relative_to(tmp_path / "results"): path.read_text()
        for path in [*tmp_path.glob("results/tables/*.md"), tmp_path / "results" / "answer.md"]
        if path.stem != "claims"
    }
    assert len(drawn) == len(TABLES) + 1
    for name, text in drawn.items():
        committed = (RESULTS / name).read_text()
        # The commands of a workspace of its own name it.
        assert text.replace(" WORKSPACE=...", "") == committed, f"{name}: run `make report`"


@pytest.mark.usefixtures("few")
def test_no_records_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = report(tmp_path)
    assert "No run has been recorded yet" in page
    said = capsys.readouterr()
    assert f"{len(CLAIMS)} claims: all not run" in said.out
    assert said.err == ""


def test_everything_is_drawn_and_the_same_twice(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    report(workspace.root)
    assert capsys.readouterr().err == ""
    results = workspace.results
    first = {p.relative_to(results): p.read_bytes() for p in results.rglob("*") if p.is_file()}
    assert {Path("report.html"), Path("README.md"), Path("tables/claims.csv")} <= first.keys()
    tables = {path.stem for path in first if path.parent.name == "tables"}
    assert {"table1", "comparison"} <= tables
    figures = {path.stem for path in first if path.parent.name == "figures"}
    assert {"figure2", "figure3", "figure5"} <= figures
    for path in first:
        if path.parts[0] != "records":
            (results / path).unlink()
    report(workspace.root)
    assert {p: (results / p).read_bytes() for p in first} == first


@pytest.mark.usefixtures("few")
def test_records_that_cannot_be_read_are_named_once_and_left_out(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = report(workspace.root)
    good = sorted(workspace.results.rglob("seed1.json"))[0]
    damaged, older = good.with_name("seed3.json"), good.with_name("seed4.json")
    damaged.write_bytes(good.read_bytes()[:-100])
    older.write_text(good.read_text().replace('"schema": 2', '"schema": 1'))
    capsys.readouterr()
    page = report(workspace.root)
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 2
    for path, why in ((damaged, ""), (older, "schema 1, expected 2")):
        name = str(path.relative_to(workspace.root))
        assert said.count(f"warning: skipped {name}: not a readable record ({why}") == 1
        assert said.count(name) == 1
        assert name in page
    assert str(workspace.root) not in page
    notice = re.compile(r'<section class="notice" id="problems">.*?</section>\n', re.DOTALL)
    assert notice.sub("", page) == whole


@pytest.mark.usefixtures("few")
def test_a_record_that_nobody_foresaw_does_not_stop_the_others(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    path = sorted(workspace.results.rglob("seed1.json"))[0]
    good = Record.read(path)
    replace(good, provenance=good.provenance | {"versions": None}).write(path)
    page = report(workspace.root)
    assert f"{good.name}: only partly readable (" in capsys.readouterr().err
    assert f"{good.identity}</code> <span>cifar10, 1" in page, "its other seed is there"


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(
    ("error", "said"),
    [(ValueError("no such log"), "no such log"), (KeyError("a"), "KeyError: 'a'")],
)
def test_an_artifact_that_cannot_be_drawn_does_not_stop_the_others(
    error: Exception,
    said: str,
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> str:
        raise error

    report(workspace.root)
    table = workspace.results / "tables" / "comparison.md"
    before = table.read_bytes()
    monkeypatch.setattr("ttq_repro.report.comparison.comparison", fail)
    page = report(workspace.root)
    assert f"comparison: not drawn, earlier files are kept ({said})" in html.unescape(page)
    assert "comparison: not drawn" in capsys.readouterr().err
    assert table.read_bytes() == before, "the reason may be a full disk"
    assert (workspace.results / "tables" / "table1.md").is_file()


@pytest.mark.usefixtures("few")
def test_the_authors_logs_are_optional_but_must_be_readable(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"authors_log=.*nowhere: no such folder"):
        report(tmp_path, tmp_path / "nowhere")
    assert not (tmp_path / "results" / "report.html").exists()


@pytest.mark.usefixtures("few")
def test_it_trains_nothing_and_writes_only_results(workspace: Workspace) -> None:
    report(workspace.root)
    assert [path.name for path in workspace.outputs.iterdir()] == ["drawing.lock"]
    shutil.rmtree(workspace.results / "records")
    assert "No run has been recorded yet" in report(workspace.root)


@pytest.mark.usefixtures("few")
def test_what_was_drawn_before_and_is_not_now_goes(workspace: Workspace) -> None:
    """A record is gone, or a figure's table no longer made. Files of other names are the user's."""
    report(workspace.root)
    stale = [
        "tables/table1_imagenette_kernels",
        "figures/comparison_imagenette",
    ]
    kept = [
        "benchmarks/sizes.csv",
        "checkpoints/cifar10/net.md",
        "tables/mine.md",
        "tables/table1_by_hand.csv",
    ]
    written = [f"{name}{suffix}" for name in stale for suffix in (".csv", ".md", ".png", ".svg")]
    for name in [*written, *kept]:
        path = workspace.results / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("column\n")
    page = report(workspace.root)
    assert not [name for name in written if (workspace.results / name).exists()]
    assert all((workspace.results / name).is_file() for name in kept)
    assert len(list(workspace.results.rglob("records/**/*.json"))) > 0
    assert "imagenette" not in (workspace.results / "README.md").read_text()
    assert "comparison_imagenette" not in page
    for name in ("comparison", "table1", "claims"):
        assert (workspace.results / "tables" / f"{name}.csv").is_file()


@pytest.mark.parametrize("path", sorted(RESULTS.rglob("*.csv")), ids=lambda path: path.stem)
def test_columns_of_committed_tables_have_names_of_their_own(path: Path) -> None:
    """Otherwise readers by name see only the last of those that share one."""
    header = Table.read(path.parent, path.stem).header
    assert len(set(header)) == len(header)
