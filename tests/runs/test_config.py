"""Compositions are kept, and made again as soon as anything they depend on has changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import ConfigCompositionException

from ttq_repro.errors import UserError
from ttq_repro.runs import config
from ttq_repro.runs.config import Config, compose_config

NAME, OVERRIDES = "train", ["recipe=smoke", "seed=7"]


@pytest.fixture
def composed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """The overrides that Hydra was asked to compose, from an empty cache in ``tmp_path``."""
    asked: list[list[str]] = []

    def compose(name: str, overrides: list[str]) -> Config:
        asked.append(overrides)
        return original(name, overrides)

    original = config._compose
    monkeypatch.setattr(config, "KEPT", tmp_path)
    monkeypatch.setattr(config, "_compose", compose)
    forget()
    return asked


def forget() -> None:
    """What a new process does not know."""
    config._composed.cache_clear()
    config._ingredients.cache_clear()


def test_a_composition_is_kept_for_the_next_process(composed: list[list[str]]) -> None:
    first = compose_config(NAME, OVERRIDES)
    assert first["seed"] == 7
    first["seed"] = 8  # Its receiver may change it.
    forget()
    assert compose_config(NAME, OVERRIDES)["seed"] == 7
    assert composed == [OVERRIDES]


@pytest.mark.parametrize("damage", [b"", b"{", b"0" * 64 + b"\n{}", b"\xff\xfe"])
def test_a_damaged_one_is_composed_again(
    composed: list[list[str]], tmp_path: Path, damage: bytes
) -> None:
    first = compose_config(NAME, OVERRIDES)
    (kept,) = tmp_path.iterdir()
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
        with pytest.raises(ConfigCompositionException):
            compose_config(NAME, ["quantizer.treshold=0.1"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("model.preactivation=no", r"model\.preactivation=no: write true or false"),
        ("data.flip=Off", r"data\.flip=Off: write true or false"),
        ("train_parent=yes", r"train_parent=yes: write true or false"),
    ],
)
def test_words_that_are_no_truth_values_are_refused(override: str, said: str) -> None:
    with pytest.raises(UserError, match=f"^{said}$"):
        compose_config(NAME, [override])


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
