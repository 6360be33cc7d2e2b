"""Where an artifact is drawn, and under which names."""

from pathlib import Path

import pytest

from tests.cells import put
from tests.records import record
from tests.report.alexnet_records import alexnet
from ttq_repro.errors import NothingToDrawError
from ttq_repro.report.draw import draw
from ttq_repro.runs.cell import cells_of
from ttq_repro.runs.config import compose_config
from ttq_repro.runs.workspace import Workspace


def files(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder))
        for kind in ("tables", "figures")
        for path in (folder / kind).glob("*")
    }


@pytest.mark.parametrize(
    ("dataset", "suffix"), [(None, ""), ("imagenette", "_imagenette")], ids=["paper", "stand-in"]
)
def test_the_files_of_a_stand_in_name_it(
    dataset: str | None, suffix: str, workspace: Workspace, tmp_path: Path
) -> None:
    for artifact in ("table4", "figure6"):
        request = compose_config(
            "reproduce", [f"artifact={artifact}", "budget=short", f"workspace={tmp_path}"]
        )
        request["dataset"] = dataset
        (cell,) = cells_of(request, "short")
        put(workspace, cell, alexnet(cell))
        text = draw(request, workspace)
        assert text.endswith(f"written to {workspace.results}")
    assert "| total |" in text, "the table of kernels"
    assert files(workspace.results) == {
        *(f"tables/table4{suffix}.{kind}" for kind in ("csv", "md")),
        *(f"figures/figure6{suffix}.{kind}" for kind in ("png", "svg", "md")),
        *(f"tables/figure6{suffix}_kernels.{kind}" for kind in ("csv", "md")),
    }


def test_a_trial_is_drawn_into_outputs_if_it_has_a_record(
    workspace: Workspace, tmp_path: Path
) -> None:
    request = compose_config(
        "reproduce", ["budget=smoke", "dataset=digits", f"workspace={tmp_path}"]
    )
    with pytest.raises(NothingToDrawError, match="not run: `make reproduce-table1 BUDGET=smoke"):
        draw(request, workspace)
    assert not list(tmp_path.iterdir())
    first, *_ = cells_of(request, "smoke")
    put(workspace, first, record(identity=first.run.identity, config=first.run.config))
    assert draw(request, workspace).endswith(f"written to {workspace.outputs}")
    assert files(workspace.outputs) == {"tables/table1.csv", "tables/table1.md"}
    assert not workspace.results.exists()


@pytest.mark.parametrize(
    ("overrides", "home"),
    [([], "results"), (["trainer.progress=false"], "results"), (["data.pad=0"], "outputs")],
)
def test_what_overrides_make_other_runs_of_is_not_drawn_as_the_result(
    overrides: list[str], home: str, workspace: Workspace, tmp_path: Path
) -> None:
    changed = compose_config(
        "reproduce",
        ["artifact=comparison", "budget=short", f"workspace={tmp_path}", f"overrides={overrides}"],
    )
    asked = cells_of(changed, "short")[0].run
    path = workspace.record(asked)
    record(identity=asked.identity, config=asked.config).write(path)
    drawn = draw(changed, workspace)
    assert drawn.endswith(f"written to {tmp_path / home}")


def test_another_config_of_the_papers_data_is_not_drawn_as_the_result(
    workspace: Workspace, tmp_path: Path
) -> None:
    """Both are ILSVRC12, and would have the same files."""
    for dataset, home in (("ilsvrc12", "results"), ("ilsvrc12_authors_code", "outputs")):
        request = compose_config(
            "reproduce", ["artifact=table4", f"dataset={dataset}", f"workspace={tmp_path}"]
        )
        (cell,) = cells_of(request, "paper")
        put(workspace, cell, alexnet(cell))
        assert draw(request, workspace).endswith(f"written to {tmp_path / home}")
