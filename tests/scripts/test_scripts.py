"""The entry points as a user calls them."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import SHORT, TINY
from tests.processes import script, script_anew, started, wait_for
from ttq_repro.files import ROOT
from ttq_repro.runs.config import compose_config
from ttq_repro.runs.execute import execute
from ttq_repro.runs.run import Run
from ttq_repro.runs.workspace import Workspace


def test_a_missing_parent_is_one_line_and_code_2(tmp_path: Path) -> None:
    # Anew, as imports may warn.
    done = script_anew(
        "train",
        "experiment=table1/resnet20_ttq",
        f"workspace={tmp_path}",
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: the parent resnet20-full_precision-paper-")
    assert len(done.stderr.splitlines()) == 1


def test_missing_data_is_one_line_and_code_1(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    done = script("train", f"data.root={tmp_path}", f"workspace={tmp_path}", cwd=tmp_path)
    assert done.returncode == 1
    assert (
        done.stderr.splitlines()[-1]
        == f"error: {tmp_path / 'test'}: missing beside {tmp_path / 'train'}"
    )
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("override", "said"),
    [
        # Hydra refuses these, in two ways,
        ("quantizer=ttqq", "quantizer=ttqq: must be one of absmean, binary_connect, bwn, "),
        ("logger=null", "a config group must have a choice: "),
        # this is compared with the config's default, and this is found later.
        ("train_parent=flase", "train_parent=flase: must be true or false, got 'flase'"),
        ("data.root=2012", "data.root=2012: must be a path, got 2012"),
    ],
)
def test_a_bad_override_is_one_line_and_code_2(override: str, said: str, tmp_path: Path) -> None:
    """More of them are tried where they are found."""
    done = script("train", override, f"workspace={tmp_path}", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {said}")
    assert len(done.stderr.splitlines()) == 1


def test_a_fault_of_ours_is_told_at_length(tmp_path: Path) -> None:
    done = script("reproduce", "dry_run=true", "artifact.cells=null", cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" in done.stderr


@pytest.mark.parametrize("path", sorted((ROOT / "scripts").glob("*.py")), ids=lambda p: p.stem)
def test_every_script_explains_itself_and_does_nothing_else(path: Path, tmp_path: Path) -> None:
    readme = (ROOT / "README.md").stat()
    done = script_anew(path.stem, "--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Powered by Hydra" in done.stdout
    assert (ROOT / "README.md").stat().st_ino == readme.st_ino, "it is written anew"
    assert not list(tmp_path.iterdir())


def test_no_report_is_made_of_a_folder_that_is_not_there(tmp_path: Path) -> None:
    done = script("report", f"workspace={tmp_path / 'typo'}", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"error: workspace={tmp_path / 'typo'}: no such folder\n"
    assert not list(tmp_path.iterdir())


def test_a_workspace_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.touch()
    done = script("train", f"workspace={notes / 'mine'}", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"error: workspace={notes / 'mine'}: {notes} is not a folder\n"


def test_other_scripts_sweep_as_training_does(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    workspace = f"workspace={tmp_path / 'elsewhere'}"
    asked = ["-m", "budget=large,smoke", "dry_run=true", workspace]
    done = script("reproduce", *asked, cwd=tmp_path / "here")
    assert done.returncode == 1
    assert "12 of 12 runs to train" in done.stdout, "the second job is done though the first failed"
    assert done.stderr.splitlines() == [
        "not done; the same command tries them again:",
        f"  budget=large dry_run=True {workspace}: "
        "budget=large: must be one of paper, short, smoke; got 'large'",
    ]
    assert not list((tmp_path / "here").iterdir())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to_is_enough_for_a_plan(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    done = script("reproduce", "dry_run=true", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_dry_run_plans_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = script("reproduce", "dry_run=true", f"workspace={tmp_path / 'elsewhere'}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "14 of 14 runs to train" in done.stdout
    assert not list(tmp_path.iterdir())


def test_table1_from_nothing_to_its_table_on_digits(tmp_path: Path) -> None:
    arguments = [
        "+only.depth=[20]",
        "+only.method=[full_precision,ttq]",
        "budget=smoke",
        "dataset=digits",
        f"workspace={tmp_path}",
        f"overrides={[*TINY[2:], *SHORT]}",
    ]
    done = script("reproduce", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    table = (tmp_path / "outputs" / "tables" / "table1.md").read_text()
    assert "Not the paper's numbers" in table
    assert table.count("(n=1)") == 2
    again = script("reproduce", *arguments, cwd=tmp_path)
    # Overrides apply to the children alone: TTQ's parent is an unaltered run of its own.
    assert "0 of 3 runs to train" in again.stdout
    assert "| 20 | smoke, fp32 |" in again.stdout


def test_a_run_is_packed_and_asked_what_it_sees(tmp_path: Path) -> None:
    run = Run(compose_config("train", [*TINY, "quantizer=ttq", "recipe.epochs=1"]))
    run = Run(run.config | {"workspace": str(tmp_path)})
    execute(run)
    weights = Workspace.of(run.config).weights(run)
    packed = script(
        "export", f"run={weights}", "out=net.safetensors", f"workspace={tmp_path}", cwd=tmp_path
    )
    assert packed.returncode == 0, packed.stderr
    Image.new("L", (8, 8)).save(tmp_path / "digit.png")
    seen = script_anew("predict", "model=net.safetensors", "image=digit.png", "top=2", cwd=tmp_path)
    assert (seen.returncode, seen.stderr) == (0, "")
    assert len(re.findall(r"^ *\d+\.\d%  \d$", seen.stdout, re.MULTILINE)) == 2
    (tmp_path / "net.safetensors").write_bytes(b"damaged")
    refused = script("predict", "model=net.safetensors", "image=digit.png", cwd=tmp_path)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: net.safetensors: not a safetensors file")
    assert len(refused.stderr.splitlines()) == 1


def test_prepares_photographs_and_names_a_damaged_one(photographs: Path, tmp_path: Path) -> None:
    victim = photographs / "train" / "n02" / "n02_3.JPEG"
    whole = victim.read_bytes()
    victim.write_bytes(whole[: len(whole) // 2])
    given = ["data=imagenette", "data.num_classes=3", f"data.root={photographs}"]
    arguments = [*given, f"workspace={tmp_path}", f"store={tmp_path / 'store'}"]
    done = script("prepare", *arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"error: {victim}: not a readable image")
    victim.write_bytes(whole)
    done = script("prepare", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"done; train with DATA_DIR={tmp_path / 'store'}" in done.stdout
    done = script("prepare", *arguments, cwd=tmp_path)
    assert "18 train and 6 val photographs, prepared in" in done.stdout


def test_a_stopped_preparation_says_how_to_go_on(photographs: Path, tmp_path: Path) -> None:
    waits = photographs / "train" / "n01" / "endless.png"
    os.mkfifo(waits)
    given = ["data=imagenette", "data.num_classes=3", f"data.root={photographs}"]
    with started("prepare", *given, f"workspace={tmp_path}") as process:
        writer = wait_for(lambda: opened_by_reader(waits), "reader")
        process.send_signal(signal.SIGINT)
        os.close(writer)  # Otherwise a signal just before the read waits for it to end.
        _, said = process.communicate()
    assert process.returncode == 130
    assert said == "\nstopped; the same command resumes from the finished classes\n"


def opened_by_reader(pipe: Path) -> int | None:
    """A descriptor to write to a pipe, or None until somebody reads it."""
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None
