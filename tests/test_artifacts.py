"""Artifacts: the runs they share, their plans, and drawing them from nothing."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from tests.cells import cells
from tests.conftest import TINY
from ttq_repro.errors import DataError, UserError
from ttq_repro.reproduce import reproduce
from ttq_repro.runs.cell import PLACES, SELECTORS, Cell, cells_of, check_overrides, commands
from ttq_repro.runs.config import Config, choices, compose_config

#: What each draws, and how many runs it needs, parents included.
ARTIFACTS = {
    "figure1": ("figures/figure1.png", 2),
    "figure2": ("figures/figure2.png", 2),
    "figure3": ("figures/figure3.png", 4),
    "figure5": ("figures/figure5.png", 15),
    "authors_code": ("figures/authors_code.png", 2),
    "ablations": ("tables/ablations.md", 17),
    "comparison": ("tables/comparison.md", 13),
    "equality": ("tables/equality.md", 2),
    "best_ternary": ("tables/best_ternary.md", 16),
}


def identities(artifact: str) -> dict[str, str]:
    """The identity of each run by title."""
    return {cell.labels["title"]: cell.run.identity for cell in cells(artifact, "paper")}


def request(artifact: str, tmp_path: Path, *overrides: str) -> Config:
    return compose_config(
        "reproduce",
        [f"artifact={artifact}", "budget=smoke", "dataset=digits", f"workspace={tmp_path}",
         *overrides],
    )  # fmt: skip


def test_artifacts_share_their_runs() -> None:
    table1, compared = identities("table1"), identities("comparison")
    figure3, figure5 = identities("figure3"), identities("figure5")
    ablations = identities("ablations")
    assert (
        {table1["ResNet-20, TTQ"]}
        == set(identities("figure1").values())
        == set(identities("figure2").values())
        == {figure3["TTQ"], figure5["t = 0.05"], ablations["TTQ, the baseline"], compared["TTQ"]}
    )
    assert (
        table1["ResNet-20, full precision"]
        == figure3["full precision"]
        == figure5["full precision"]
    )
    assert table1["ResNet-20, control"] == figure5["full precision trained further"]
    for method in ("DoReFa 1-32-32", "TWN"):
        assert figure3[method] == compared[method]
    tested = [cell for cell in cells("best_ternary", "paper") if cell.labels["stage"] == "test"]
    assert tested[0].run.identity == table1["ResNet-20, full precision"]
    assert figure5["r = 0.5"] == compared["TTQ at sparsity 0.5"]
    swept = {title for title in ablations if title.startswith("t = ")}
    assert {ablations[title] for title in swept} == {figure5[title] for title in swept}
    assert len(set(figure5.values())) == len(figure5)


def test_artifacts_of_alexnet_share_the_runs_of_table2() -> None:
    for stand_in in ([], ["dataset=imagenette"]):
        by_artifact = {
            artifact: {cell.run.identity for cell in cells(artifact, "short", *stand_in)}
            for artifact in ("table2", "table4", "figure4", "figure6")
        }
        assert by_artifact["table4"] == by_artifact["figure6"]
        assert by_artifact["table4"] < by_artifact["figure4"] < by_artifact["table2"]


def test_a_stand_in_trains_from_its_own_data_at_the_results_place() -> None:
    for artifact in ("table2", "table3"):
        real, stand_in = cells(artifact), cells(artifact, "short", "dataset=imagenette")
        assert {cell.run.dataset for cell in stand_in} == {"imagenette"}
        assert all(cell.run.is_result for cell in stand_in)
        assert not {c.run.identity for c in real} & {c.run.identity for c in stand_in}
        for cell in stand_in:
            assert cell.run.parent is None or cell.run.parent.dataset == "imagenette"


def test_table3s_parent_is_its_own_full_precision() -> None:
    planned = {cell.labels["method"]: cell.run for cell in cells("table3")}
    assert planned["twn"].parent is not None
    assert planned["twn"].parent.identity == planned["full_precision"].identity


@pytest.mark.parametrize("artifact", ARTIFACTS)
def test_a_dry_run_plans_and_trains_nothing(
    artifact: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, runs = ARTIFACTS[artifact]
    reproduce(request(artifact, tmp_path, "seeds=2", "dry_run=true"))
    assert f"{2 * runs} of {2 * runs} runs to train" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("artifact", "runs"), [("table1", 14), ("table2", 5)])
def test_a_plan_ends_with_what_is_wrong_with_a_folder_that_was_named(
    artifact: str, runs: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ask = [f"workspace={tmp_path}", f"artifact={artifact}", "dry_run=true"]
    with pytest.raises(DataError, match=r"nowhere: no such folder"):
        reproduce(compose_config("reproduce", [*ask, f"data_dir={tmp_path / 'nowhere'}"]))
    assert f"{runs} of {runs} runs to train" in capsys.readouterr().out


def test_nothing_is_measured_for_a_folder_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ttq_repro.runs.measure.measured", lambda *_: pytest.fail("measured"))
    ask = [f"workspace={tmp_path}", "artifact=table2", "measure=true"]
    with pytest.raises(DataError, match=r"nowhere: no such folder"):
        reproduce(compose_config("reproduce", [*ask, f"data_dir={tmp_path / 'nowhere'}"]))


def test_photographs_and_small_images_do_not_take_each_others_place(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"dataset=digits: table2 needs photographs"):
        reproduce(request("table2", tmp_path, "dataset=digits"))
    with pytest.raises(UserError, match=r"dataset=imagenette: table1 needs small images"):
        reproduce(request("table1", tmp_path, "dataset=imagenette"))


def test_an_experiment_may_have_a_recipe_of_its_own_at_a_budget() -> None:
    *others, ttq = cells("table3", "short", "dataset=imagenette_full")
    assert ttq.run.config["recipe"]["name"] == "short_resnet18_adam"
    assert {cell.run.config["recipe"]["name"] for cell in others} == {"short_resnet18"}


def test_a_plan_without_a_folder_says_that_it_is_to_be_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ask = [f"workspace={tmp_path}", "artifact=table2", "dry_run=true"]
    reproduce(compose_config("reproduce", ask))
    assert "data: data: no such folder; give the folder of ilsvrc12" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("asked", "advice"),
    [
        (["artifact=table1"], "BUDGET=short"),
        (["artifact=table1", "budget=short"], None),
        (["artifact=ablations", "+only.change=[t002]"], "BUDGET=short"),
        (["artifact=ablations", "+only.change=[reestimated]"], None),
        (["artifact=table2"], "DATA=imagenette_full"),
        (["artifact=table2", "budget=short"], "DATA=imagenette_full"),
        (["artifact=table2", "budget=short", "dataset=imagenette"], None),
    ],
)
def test_on_a_cpu_something_smaller_is_advised(
    asked: list[str],
    advice: str | None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ttq_repro.reproduce.has_gpu", lambda *_: False)
    reproduce(compose_config("reproduce", [*asked, "dry_run=true", f"workspace={tmp_path}"]))
    said = re.findall(r"^on a CPU, (\S+) takes a fraction", capsys.readouterr().out, re.MULTILINE)
    assert said == ([advice] if advice else [])


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("budget=large", "budget=large: must be one of paper, short, smoke; got 'large'"),
        ("dataset=nosuch", "dataset=nosuch: must be one of cifar10, digits, "),
        ("jobs=0", "jobs=0: must be a whole number from 1, got 0"),
        ("only=20", "only=20: must name labels, as in only.depth=[20]"),
        ("overrides=data", "overrides=data: must be a list"),
        ("overrides=['data.pad=x']", "data.pad=x: must be a number, got 'x'"),
        ("overrides=['+data.held_out=x']", "data.held_out=x: must be a number, got 'x'"),
        ("overrides=['seed=5']", "overrides=[seed=5]: ask for seeds=... instead"),
        ("overrides=['+workspace=x']", "overrides=[+workspace=x]: ask for workspace=... instead"),
        ("overrides=['+data.held_out=1.5']", "data.held_out=1.5: must lie in [0, 1), got 1.5"),
    ],
)
def test_what_cannot_be_asked_for_is_one_line(override: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(said)}") as refused:
        reproduce(compose_config("reproduce", ["dry_run=true", f"workspace={tmp_path}", override]))
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("only", "said"),
    [
        (
            "+only.depth=18",
            "only.depth=18: the artifact has no such cell at this budget; known are 20, 32, 44, 56",
        ),
        ("+only.depth=[]", "only={'depth': []}: no cell of the artifact has all of these labels"),
        (
            "+only.depth=[[20,32]]",
            "only.depth=[20, 32]: the artifact has no such cell at this budget; known are 20, 32, "
            "44, 56",
        ),
        (
            "+only.change=[t002]",
            "only.change: the cells have no such label; they have depth, method, title",
        ),
    ],
)
def test_cells_that_do_not_exist_are_named(only: str, said: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(said)}$"):
        cells("table1", "paper", only)


def test_the_command_of_a_cell_is_for_its_workspace_and_its_data(tmp_path: Path) -> None:
    ask = compose_config("reproduce", ["precision=bf16", "+only.depth=[20]", "+only.method=[ttq]"])
    (usual,) = commands(cells_of(ask, "short"), 3)
    assert usual == (
        "make reproduce-table1 BUDGET=short DEPTHS=20 PRECISION=bf16 SEEDS=3 DATA_DIR=... "
        "METHODS=ttq"
    )
    here = {"workspace": str(tmp_path), "dataset": "digits"}
    (digits,) = commands(cells_of(ask | here, "smoke"))
    assert digits == (
        "make reproduce-table1 BUDGET=smoke DEPTHS=20 PRECISION=bf16 DATA=digits WORKSPACE=... "
        "METHODS=ttq"
    )


@pytest.mark.parametrize(
    ("override", "asked"),
    [
        ("trainer.precision=fp32", "precision=bf16"),
        ("trainer={precision: fp32}", "precision=bf16"),
        ("trainer.devices=2", "devices=1"),
        ("data.root=elsewhere", "data_dir=here"),
    ],
)
def test_what_is_asked_for_twice_is_refused(override: str, asked: str, tmp_path: Path) -> None:
    """The override would be ignored; alone, it says what to train."""
    given = [f"overrides=['{override}']", "dry_run=true", f"workspace={tmp_path}", "budget=smoke"]
    alone = compose_config("reproduce", given)
    reproduce(alone)
    for command in commands(cells_of(alone, "smoke")):
        asks_for = compose_config("reproduce", shlex.split(command)[2:])
        check_overrides(asks_for)
        assert asks_for["overrides"] == [override]
    key = asked.partition("=")[0]
    told = f"overrides=[{override}]: ask for {key}=... instead"
    with pytest.raises(UserError, match=f"^{re.escape(told)}$"):
        reproduce(compose_config("reproduce", [*given, asked]))


def test_the_group_of_a_trial_is_the_artifact_unless_named() -> None:
    for overrides, group in (([], "figure2"), (["logger.group=mine"], "mine")):
        request = compose_config("reproduce", ["artifact=figure2"]) | {"overrides": overrides}
        assert {cell.run.config["logger"]["group"] for cell in cells_of(request, "short")} == {
            group
        }


def test_the_command_of_a_trial_has_its_overrides() -> None:
    ask = compose_config("reproduce", ["precision=bf16", "+only.depth=[20]", "+only.method=[ttq]"])
    ask["overrides"] = ["distillation={weight: 0.9, temperature: 4}", "logger.group='my group'"]
    (command,) = commands(cells_of(ask, "paper"))
    python, script, *given = shlex.split(command)
    assert (python, script) == ("python", "scripts/reproduce.py")
    asked = compose_config("reproduce", given)
    assert {key: asked[key] for key in ("budget", "precision", "only", "overrides")} == {
        "budget": "paper",
        "precision": "bf16",
        "only": {"depth": [20], "method": ["ttq"]},
        "overrides": ask["overrides"],
    }


@pytest.mark.parametrize("artifact", choices("artifact"))
def test_commands_train_the_cells_that_they_are_for_and_no_other(artifact: str) -> None:
    """Two cells of one method, at two stages or recipes, have one command."""
    request = compose_config("reproduce", [f"artifact={artifact}"])
    budget = next(iter(request["artifact"]["budgets"]))
    everything = cells_of(request, budget)
    chosen = everything[1::3] or everything
    trained = []
    for command in commands(chosen):
        words = dict(word.split("=") for word in command.split()[2:])
        only = {
            label: yaml.safe_load(f"[{words[name]}]")
            for label, name in (PLACES | SELECTORS).items()
            if name in words
        }
        trained += cells_of(request | {"only": only, "precision": words["PRECISION"]}, budget)

    def selected(cells: list[Cell]) -> set[tuple[object, ...]]:
        return {tuple(map(cell.labels.get, (*PLACES, *SELECTORS))) for cell in cells}

    assert selected(trained) == selected(chosen)
    assert {cell.run.identity for cell in trained} >= {cell.run.identity for cell in chosen}


def test_one_cell_needs_no_list() -> None:
    assert {cell.labels["depth"] for cell in cells("table1", "paper", "+only.depth=20")} == {20}


def test_a_folder_of_logs_that_is_not_there_is_named_before_any_training(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"authors_log=nowhere: no such folder"):
        reproduce(request("figure3", tmp_path, "authors_log=nowhere"))


def test_photographs_go_from_their_folders_to_a_table(photographs: Path, tmp_path: Path) -> None:
    small = [
        "data.num_classes=3", "data.short_side=36", "data.crop=32", "data.augmentation.side=36",
        "model.width=0.125", "recipe.batch_size=5", "recipe.epochs=1", "trainer.compile=false",
        "trainer.workers=0", "trainer.progress=false", "logger.wandb=disabled",
    ]  # fmt: skip
    asked = ["artifact=table3", "budget=smoke", "+only.method=[full_precision]"]
    given = [f"data_dir={photographs}", f"workspace={tmp_path}", f"overrides={small}"]
    reproduce(compose_config("reproduce", [*asked, *given]))
    table = (tmp_path / "outputs" / "tables" / "table3.md").read_text()
    assert "(n=1)" in table


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("artifact", ARTIFACTS)
def test_from_nothing_to_what_it_draws(
    artifact: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawing, _ = ARTIFACTS[artifact]
    tiny = request(artifact, tmp_path, f"overrides={TINY[2:]}")
    reproduce(tiny)
    assert "Not the paper's numbers" in capsys.readouterr().out
    assert (tmp_path / "outputs" / drawing).is_file()
    assert not (tmp_path / "results").exists()
    reproduce(tiny)
    out = capsys.readouterr().out
    assert re.search(r"^0 of \d+ runs to train", out, re.MULTILINE)
    assert "Not run" not in out
