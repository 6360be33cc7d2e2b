"""Identities and parents of runs, and where their files go."""

import hashlib
from pathlib import Path

import pytest

from tests.cells import cells
from ttq_repro.errors import UserError
from ttq_repro.files import ROOT
from ttq_repro.runs.config import compose_config
from ttq_repro.runs.record import read_records
from ttq_repro.runs.run import Run
from ttq_repro.runs.workspace import Workspace

TTQ_CELL = "experiment=table1/resnet20_ttq"


def run(*overrides: str) -> Run:
    return Run(compose_config("train", list(overrides)))


def test_names_are_readable() -> None:
    assert run(TTQ_CELL).identity.startswith("resnet20-ttq-paper_warm_up-")


def test_what_a_sweep_changes_can_be_read() -> None:
    assert run(TTQ_CELL).options == []
    assert run(TTQ_CELL).label == run(TTQ_CELL).name
    float_end = run(TTQ_CELL, "policy=first_last_float", "model.preactivation=false")
    assert float_end.options == ["preactivation=False", "quantize_last=False"]
    swept = run("experiment=figure5/resnet20", "quantizer.sparsity=0.3", "+quantizer.tie=unit")
    assert swept.label == f"{swept.name} (sparsity=0.3, tie=unit)"
    taught = run("experiment=best_ternary/resnet20", "+data.held_out=0.1")
    assert taught.options == ["distilled", "held_out=0.1"]
    shorter = run(TTQ_CELL, "recipe.epochs=3", "recipe.optimizer.lr=0.2", "trainer.plain=true")
    assert shorter.options == ["epochs=3", "optimizer.lr=0.2", "plain"]
    assert run(TTQ_CELL, "recipe.name=mine", "recipe.epochs=3").options == []
    # The default of one is the value of the other.
    warm_up = run(TTQ_CELL).config["recipe"]["warm_up"]
    as_short = run(TTQ_CELL, f"recipe.epochs={warm_up['epochs']}")
    assert as_short.options == [f"epochs={warm_up['epochs']}"]


@pytest.mark.parametrize("recipe", ["smoke", "short"])
def test_a_parent_and_the_control_that_goes_on_from_it_are_told_apart(recipe: str) -> None:
    control = run("experiment=table1/resnet20_control", f"recipe={recipe}")
    assert control.parent is not None
    assert control.options == ["trained further"]
    assert control.parent.options == []
    names = [one.name.rpartition("-")[0] for one in (control, control.parent)]
    assert names[0] == names[1], "the hash alone tells them apart"


def test_a_teacher_and_images_held_out_tell_runs_apart() -> None:
    ours = "experiment=best_ternary/resnet20"
    plain, taught = run(ours, "distillation=null"), run(ours)
    hotter, apart = run(ours, "distillation.temperature=8"), run(ours, "+data.held_out=0.1")
    assert len({one.identity for one in (plain, taught, hotter, apart)}) == 4
    assert plain.parent is not None
    assert apart.parent is not None
    assert taught.parent == plain.parent
    assert run(ours, "distillation.temperature=4").identity == taught.identity, "4 is 4.0"
    assert apart.parent.config["data"]["held_out"] == 0.1, "its parent has not seen them either"


def test_a_part_of_a_data_set_is_another_one() -> None:
    whole = run("experiment=table2/alexnet_bn_ttq")
    part = run("experiment=table2/alexnet_bn_ttq", "data.images={train: 1000, val: 100}")
    assert part.identity != whole.identity


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("parent=5", "parent=5: must be a path, got 5"),
        ("parent=null", "parent=None: must be a path, got None"),
        (
            "seed=99999999999999999999",
            "seed=99999999999999999999: must be a whole number from 0 to",
        ),
    ],
)
def test_what_no_run_can_have_is_named(override: str, said: str) -> None:
    with pytest.raises(UserError) as refused:
        run(override)
    assert str(refused.value).startswith(said)


@pytest.mark.parametrize(
    "override",
    [
        "seed=7",
        "data.root=/elsewhere",
        "logger.wandb=disabled",
        "trainer.progress=false",
        "trainer.compile=false",
        "workspace=/elsewhere",
        "train_parent=true",
    ],
)
def test_identity_ignores_what_does_not_shape_the_result(override: str) -> None:
    assert run(TTQ_CELL, override).identity == run(TTQ_CELL).identity


@pytest.mark.parametrize(
    "override",
    [
        "quantizer.threshold=0.06",
        "policy.quantize_last=false",
        "model.preactivation=false",
        "data.flip=false",
        "recipe.epochs=3",
        "recipe.optimizer.lr=0.05",
        "trainer.precision=fp32",
        "parent=none",
    ],
)
def test_identity_tells_apart_what_does(override: str) -> None:
    bf16 = "trainer.precision=bf16"
    assert run(TTQ_CELL, bf16, override).identity != run(TTQ_CELL, bf16).identity


def test_the_committed_records_are_those_of_their_configs() -> None:
    """Otherwise every one of them would have to be trained again."""
    for found in read_records(ROOT / "results" / "records", pytest.fail):
        again = Run(found.config | {"workspace": ""})
        assert again.identity == found.identity
        assert again.is_result, "its recipe is still the committed one"


@pytest.mark.parametrize("recipe", ["paper_warm_up", "short"])
def test_the_parent_is_the_cell_beside_it(recipe: str) -> None:
    child = run(TTQ_CELL, f"recipe={recipe}", "seed=3")
    expected = run("experiment=table1/resnet20_fp", f"recipe={recipe.split('_')[0]}", "seed=3")
    assert child.parent is not None
    assert child.parent.identity == expected.identity
    assert child.parent.seed == 3
    assert child.parent.parent is None


def test_overriding_the_childs_epochs_keeps_its_parent() -> None:
    short = run(TTQ_CELL, "recipe=short", "recipe.epochs=1")
    assert short.parent is not None
    assert short.parent.identity == run("recipe=short").identity


def test_the_parent_shares_the_childs_network_and_data() -> None:
    child = run(TTQ_CELL, "model.preactivation=false", "data.pad=2", "trainer.precision=fp32")
    assert child.parent is not None
    assert child.parent.science["model"]["preactivation"] is False
    assert child.parent.science["data"]["pad"] == 2
    assert child.parent.science["precision"] == "fp32"


def test_a_parent_by_path_counts_by_content(tmp_path: Path) -> None:
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    first.write_bytes(b"1")
    second.write_bytes(b"1")
    assert run(f"parent={first}").identity == run(f"parent={second}").identity
    second.write_bytes(b"2")
    assert run(f"parent={first}").identity != run(f"parent={second}").identity


def test_a_parent_by_path_is_published_by_content(tmp_path: Path) -> None:
    first = tmp_path / "a.safetensors"
    first.write_bytes(b"1")
    public = run(f"parent={first}").public_config
    assert public["parent"] == hashlib.sha256(b"1").hexdigest()
    assert str(tmp_path) not in str(public)


@pytest.mark.parametrize(
    "option",
    [
        "quantizer.init=1",
        "recipe.optimizer.momentum=0",
        "quantizer=ttq_sparsity quantizer.sparsity=0",
    ],
)
def test_whole_numbers_are_fractions_too(option: str) -> None:
    whole, fraction = run(TTQ_CELL, *option.split()), run(TTQ_CELL, *f"{option}.0".split())
    assert whole.identity == fraction.identity


def test_a_missing_parent_file_is_named() -> None:
    with pytest.raises(UserError, match=r"parent=no\.safetensors: no such file"):
        run("parent=no.safetensors").identity  # noqa: B018


@pytest.mark.parametrize(
    ("overrides", "home"),
    [
        (["recipe=short"], "results"),
        (["recipe=paper"], "results"),
        (["recipe=short", "quantizer=ttq", "quantizer.threshold=0.1"], "results"),
        (["recipe=smoke"], "outputs"),
        (["recipe=short", "recipe.epochs=1"], "outputs"),
        (["recipe=short", "data=digits"], "outputs"),
    ],
)
def test_only_results_go_into_results(overrides: list[str], home: str, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    made = run(*overrides)
    assert workspace.record(made).relative_to(tmp_path).parts[0] == home
    assert workspace.weights(made).relative_to(tmp_path).parts[0] == home
    assert workspace.scratch(made).relative_to(tmp_path).parts[0] == "outputs"


def test_the_control_is_not_its_own_parent() -> None:
    control = run("experiment=table1/resnet20_control", "recipe=short")
    assert control.parent is not None
    assert control.parent.identity == run("recipe=short").identity
    assert control.parent.identity != control.identity
    assert control.parent.parent is None


def test_the_methods_compared_share_one_parent() -> None:
    parent, *runs = (cell.run for cell in cells("comparison", "paper"))
    assert len({made.identity for made in runs}) == len(runs) == 12
    assert {made.parent.identity for made in runs if made.parent} == {parent.identity}
    assert all(made.parent for made in runs)
