"""Compositions are cached, and made again as soon as anything they depend on has changed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.global_hydra import GlobalHydra

from ttq_repro.errors import UserError
from ttq_repro.runs import config
from ttq_repro.runs.config import Config, committed_choice, compose_config

NAME, OVERRIDES = "train", ["recipe=smoke", "seed=7"]


@pytest.fixture
def composed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[list[str]]]:
    """The overrides that Hydra is asked to compose, given an empty cache in ``tmp_path``."""
    asked: list[list[str]] = []

    def compose(name: str, overrides: list[str]) -> Config:
        asked.append(overrides)
        return original(name, overrides)

    original = config._compose
    monkeypatch.setattr(config, "KEPT", tmp_path)
    monkeypatch.setattr(config, "_compose", compose)
    forget()
    yield asked
    # What is remembered of other files would make the next composition drop the real cache.
    forget()


def forget() -> None:
    """Clear what a new process would not know."""
    config._composed.cache_clear()
    config._ingredients.cache_clear()
    config._usual.cache_clear()


def test_a_composition_is_kept_for_the_next_process(composed: list[list[str]]) -> None:
    first = compose_config(NAME, OVERRIDES)
    assert first["seed"] == 7
    first["seed"] = 8  # Callers may change what they get.
    forget()
    assert compose_config(NAME, OVERRIDES)["seed"] == 7
    assert composed == [OVERRIDES]


@pytest.mark.parametrize("damage", [b"", b"{", b"0" * 64 + b"\n{}", b"\xff\xfe"])
def test_a_damaged_one_is_composed_again(
    composed: list[list[str]], tmp_path: Path, damage: bytes
) -> None:
    first = compose_config(NAME, OVERRIDES)
    (kept,) = tmp_path.rglob("*.json")
    kept.write_bytes(damage)
    forget()
    assert compose_config(NAME, OVERRIDES) == first
    assert len(composed) == 2


def test_other_files_or_hardware_are_another_composition(
    composed: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    compose_config(NAME, OVERRIDES)
    forget()
    monkeypatch.setattr(config, "fastest_precision", lambda accelerator: f"fast on {accelerator}")
    compose_config(NAME, OVERRIDES)
    assert len([*tmp_path.rglob("*.json")]) == 1, "what nobody asks for any more is gone"
    forget()
    configs = tmp_path / "configs"
    configs.mkdir()
    monkeypatch.setattr(config, "CONFIGS", configs)
    with pytest.raises(Exception, match="Cannot find primary config"):
        compose_config(NAME, OVERRIDES)
    assert len(composed) == 3


@pytest.mark.usefixtures("composed")
def test_a_failed_composition_is_not_kept(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(UserError, match=r"Could not override 'quantizer\.treshold'"):
            compose_config(NAME, ["quantizer.treshold=0.1"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("+data.heldout=0.1", "data.heldout: there is no such option; known are data.name, "),
        ("+trainer.devcies=3", "trainer.devcies: there is no such option; known are trainer."),
        ("+threshold=0.1", "threshold: there is no such option; known are seed, parent, "),
        ("~data.flip", "~data.flip: this option cannot be removed"),
        ("~quantizer", "~quantizer: this option cannot be removed"),
        ("~quantizer.name", "~quantizer.name: this option cannot be removed"),
    ],
)
def test_options_are_neither_added_nor_removed(override: str, said: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(said)}"):
        compose_config(NAME, ["recipe=short", override])


def test_an_option_without_a_default_is_added_and_named_among_the_known() -> None:
    assert compose_config(NAME, ["+data.held_out=0.1"])["data"]["held_out"] == 0.1
    with pytest.raises(UserError, match=r", data\.held_out$"):
        compose_config(NAME, ["+data.heldout=0.1"])


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("model.preactivation=no", "model.preactivation=no: must be true or false, got 'no'"),
        ("data.flip=Off", "data.flip=Off: must be true or false, got 'Off'"),
        ("train_parent=flase", "train_parent=flase: must be true or false, got 'flase'"),
        ("train_parent=1", "train_parent=1: must be true or false, got 1"),
        ("logger.csv=null", "logger.csv=None: must be true or false, got None"),
        ("data.pad=x", "data.pad=x: must be a number, got 'x'"),
        ("recipe.epochs=null", "recipe.epochs=None: must be a number, got None"),
        ("data.images.train=null", "data.images.train=None: must be a number, got None"),
        (
            "data.images=5",
            "data.images=5: stands for several options, data.images.train, data.images.val",
        ),
        ("trainer.workers=x", "trainer.workers=x: must be a number, got 'x'"),
        ("recipe.epochs=true", "recipe.epochs=True: must be a number, got True"),
        ("recipe.optimizer.lr=fast", "recipe.optimizer.lr=fast: must be a number, got 'fast'"),
        ("recipe.optimizer.lr=nan", "recipe.optimizer.lr=nan: must be finite, got nan"),
    ],
)
def test_words_for_truth_values_and_numbers_are_refused(override: str, said: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(said)}$"):
        compose_config(NAME, ["recipe=short", override])


@pytest.mark.parametrize("override", ["batches=[32,x]", "targets.speedup=x", "seconds=x"])
def test_other_configs_and_lists_are_looked_through_too(override: str) -> None:
    with pytest.raises(UserError, match=r"=x: must be a number, got 'x'$"):
        compose_config("benchmark", [override])


@pytest.mark.parametrize(
    "override",
    [
        "trainer.progress=lines",
        "trainer.compile=true",
        "quantizer.threshold=null",
        "recipe.optimizer.momentum=0",
        "logger.group=mine",
        "seed=2",
    ],
)
def test_what_an_option_takes_besides_is_let_through(override: str) -> None:
    compose_config(NAME, ["quantizer=ttq", override])


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("quantizer=ttqq", "^quantizer=ttqq: must be one of absmean, binary_connect, bwn, "),
        ("experiment=table1/resnet18", "^experiment=table1/resnet18: must be one of authors_code/"),
        ("experiment=typo/x", "^experiment=typo/x: must be one of authors_code/"),
        # Of Hydra's own words, what they are about.
        ("quantiser=ttq", "'quantiser'"),
        ("seed=[1", r"^seed=\[1: "),
        ("seed", "^seed: "),
        ("model.depth=${nothing}", "'nothing'"),
    ],
)
def test_what_hydra_refuses_is_a_line(override: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as refused:
        compose_config(NAME, [override])
    assert len(str(refused.value).splitlines()) == 1


def test_files_of_a_folder_of_the_users_are_read_every_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept, recipe = tmp_path / "kept", tmp_path / "own" / "recipe" / "mine.yaml"
    monkeypatch.setattr(config, "KEPT", kept)
    recipe.parent.mkdir(parents=True)
    search = create_config_search_path(str(config.CONFIGS))
    search.prepend("command-line", f"file://{recipe.parent.parent}")
    Hydra.create_main_hydra2("train", search)  # As --config-dir does.
    try:
        for epochs in (7, 9):
            recipe.write_text(f"name: mine\nepochs: {epochs}\n")
            forget()
            assert compose_config(NAME, ["recipe=mine"])["recipe"]["epochs"] == epochs
    finally:
        GlobalHydra.instance().clear()
    assert not kept.exists()


@pytest.mark.usefixtures("composed")
def test_a_folder_that_cannot_be_written_to_does_not_matter(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(config, "KEPT", tmp_path / "file")
    assert compose_config(NAME, OVERRIDES)["seed"] == 7


def test_a_committed_choice_has_what_it_takes_over_from_another() -> None:
    full, part = (committed_choice("data", name) for name in ("imagenette_full", "imagenette"))
    assert full is not None
    assert part is not None
    assert full == part | {"name": "imagenette_full", "images": full["images"]}
    assert full["images"] != part["images"]
