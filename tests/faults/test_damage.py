"""Damaged and hostile files are found, named, and rebuilt or refused; none is ever executed."""

from __future__ import annotations

import hashlib
import io
import pickle
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.conftest import FEW_TESTED
from tests.faults.conftest import Count, Tally
from tests.hostile import Hostile
from tests.records import record
from ttq_repro.data.cifar10 import ARCHIVE_FOLDER, load_cifar10
from ttq_repro.errors import DataError, UserError
from ttq_repro.runs.execute import execute
from ttq_repro.runs.plan import make_plan
from ttq_repro.runs.record import SCHEMA, Record
from ttq_repro.runs.run import Run
from ttq_repro.runs.workspace import Workspace
from ttq_repro.sealed import open_sealed
from ttq_repro.training.checkpoint import SealedCheckpointIO, recorded_parent

MakeRun = Callable[..., Run]


def flip_a_bit(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def truncate(path: Path, chance: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: chance.randrange(len(content))])


DAMAGE = {"flipped bit": flip_a_bit, "cut off": truncate}


@pytest.mark.parametrize("damage", DAMAGE)
def test_every_damaged_record_is_noticed(
    damage: str, tmp_path: Path, chance: random.Random, count: Count, tally: Tally
) -> None:
    path = tmp_path / "seed1.json"
    record(metrics={"test_error": [0.1234, 0.1]}, correct="AAAA", provenance={"a": "b"}).write(path)
    sound = path.read_bytes()
    tries, noticed = count(20, 10_000), 0
    for _ in range(tries):
        path.write_bytes(sound)
        DAMAGE[damage](path, chance)
        try:
            Record.read(path)
        except ValueError as error:
            noticed += str(error).startswith(f"{path}: not a readable record")
    tally(f"record with a {damage}", tries, noticed)
    assert noticed == tries


@pytest.mark.parametrize("damage", DAMAGE)
def test_every_damaged_checkpoint_is_noticed(
    damage: str, tmp_path: Path, chance: random.Random, count: Count, tally: Tally
) -> None:
    path = tmp_path / "last.ckpt"
    content = {"epoch": 3, "weights": torch.arange(1000.0)}
    tries, noticed = count(200, 10_000), 0
    SealedCheckpointIO().save_checkpoint(content, path)
    assert recorded_parent(path) is None
    sound = path.read_bytes()
    for _ in range(tries):
        path.write_bytes(sound)
        DAMAGE[damage](path, chance)
        try:
            recorded_parent(path)
        except ValueError:
            noticed += 1
    tally(f"resume checkpoint with a {damage}", tries, noticed)
    assert noticed == tries


def stop_before_its_record(run: Run) -> None:
    """Train a run, but stop before its record is written, which leaves its checkpoint."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Record, "write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            execute(run)


def test_a_damaged_checkpoint_starts_the_run_again(
    tiny_run: MakeRun, chance: random.Random
) -> None:
    run = tiny_run("quantizer=ttq")
    undisturbed = execute(run)
    again = Run(run.config | {"workspace": run.config["workspace"] + "/again"})
    workspace = Workspace.of(again.config)
    stop_before_its_record(again)
    flip_a_bit(workspace.resume_checkpoint(again), chance)
    said: list[str] = []
    assert execute(again, say=said.append).weights_sha256 == undisturbed.weights_sha256
    assert any("last.ckpt is damaged: the run starts again" in line for line in said)


def test_a_run_does_not_go_on_from_what_other_code_wrote(tiny_run: MakeRun) -> None:
    run = tiny_run("recipe.epochs=1")
    stop_before_its_record(run)
    checkpoint = Workspace.of(run.config).resume_checkpoint(run)
    buffer = io.BytesIO()
    torch.save({"state_dict": {}}, buffer)
    content = buffer.getvalue()
    checkpoint.write_bytes(hashlib.sha256(content).digest() + content)
    said: list[str] = []
    execute(run, say=said.append)
    assert any("last.ckpt is of another version of this code: the run" in line for line in said)


def test_a_run_does_not_go_on_from_another_parents_network(
    tiny_run: MakeRun, tmp_path: Path
) -> None:
    run = tiny_run("quantizer=ttq", "parent=auto", "recipe.epochs=1")
    assert run.parent is not None
    execute(run.parent)
    stop_before_its_record(run)
    # As if another machine had trained the parent.
    workspace = Workspace.of(run.config)
    other = Run(run.parent.config | {"seed": 2, "workspace": str(tmp_path / "other")})
    trained = execute(other)
    weights = Workspace.of(other.config).weights(other).read_bytes()
    workspace.weights(run.parent).write_bytes(weights)
    replace(trained, seed=1).write(workspace.record(run.parent))
    said: list[str] = []
    child = execute(run, say=said.append)
    assert any("last.ckpt started from other weights than the parent's" in line for line in said)
    assert child.parent is not None
    assert child.parent["weights_sha256"] == trained.weights_sha256
    assert child.provenance["earlier"] == []


def test_a_record_tells_who_trained_the_run_before(tiny_run: MakeRun) -> None:
    run = tiny_run("quantizer=ttq")
    stop_before_its_record(run)
    finished = execute(run)
    (before,) = finished.provenance["earlier"]
    assert before["epochs"] == len(finished.metrics["seconds"])
    assert before["processor"] == finished.provenance["processor"]
    assert finished.provenance["seconds"] >= before["seconds"] > 0


def test_a_run_stopped_after_its_last_epoch_keeps_its_results(tiny_run: MakeRun) -> None:
    run = tiny_run("quantizer=ttq")
    stop_before_its_record(run)
    finished = execute(run)
    assert finished.test_images == FEW_TESTED
    assert 1 - finished.correct_images().mean() == pytest.approx(finished.test_error["final"], 1e-4)


def test_a_damaged_record_is_planned_and_trained_again(
    tiny_run: MakeRun, chance: random.Random
) -> None:
    run = tiny_run("recipe.epochs=1")
    workspace = Workspace.of(run.config)
    first = execute(run)
    workspace.lock(run).write_bytes(b"\xff not a lock's content")
    truncate(workspace.record(run), chance)
    assert [planned.done for planned in make_plan([run], workspace).runs] == [False]
    said: list[str] = []
    assert execute(run, say=said.append).weights_sha256 == first.weights_sha256
    assert any("seed1.json: not a readable record" in line for line in said)


def test_a_record_of_another_version_is_not_overwritten(tiny_run: MakeRun) -> None:
    run = tiny_run("recipe.epochs=1")
    path = Workspace.of(run.config).record(run)
    replace(execute(run), schema=SCHEMA + 1).write(path)
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"seed1\.json: not a readable record \(schema 3, .*away$"):
        execute(run, say=lambda _: None)
    assert path.read_bytes() == before


def test_damaged_weights_of_a_parent_are_refused(tiny_run: MakeRun, chance: random.Random) -> None:
    run = tiny_run("quantizer=ttq", "parent=auto")
    assert run.parent is not None
    execute(run.parent)
    weights = Workspace.of(run.config).weights(run.parent)
    flip_a_bit(weights, chance)
    with pytest.raises(UserError, match=r"seed1\.safetensors: its SHA-256 is not the one in its"):
        execute(run)


def test_lost_weights_of_a_parent_are_trained_again(tiny_run: MakeRun) -> None:
    run = tiny_run("quantizer=ttq", "parent=auto", "recipe.epochs=1")
    assert run.parent is not None
    first = execute(run.parent)
    workspace = Workspace.of(run.config)
    workspace.weights(run.parent).unlink()
    assert [planned.done for planned in make_plan([run], workspace).runs] == [False, False]
    child = execute(run)
    assert child.parent is not None
    assert child.parent["weights_sha256"] == first.weights_sha256
    workspace.weights(run.parent).unlink()
    assert [planned.done for planned in make_plan([run], workspace).runs] == [True, True]


def test_a_parent_trained_anew_but_killed_before_its_record_is_finished(tiny_run: MakeRun) -> None:
    """Its weights are then others than its old record describes."""
    run = tiny_run("quantizer=ttq", "parent=auto", "recipe.epochs=1")
    assert run.parent is not None
    workspace, parent = Workspace.of(run.config), run.parent
    anew = execute(parent)
    workspace.record(parent).unlink()
    stop_before_its_record(parent)
    replace(anew, weights_sha256="of others").write(workspace.record(parent))
    assert workspace.weights(parent).is_file()
    child = execute(run)
    assert child.parent is not None
    assert child.parent["weights_sha256"] == anew.weights_sha256
    assert Record.read(workspace.record(parent)).weights_sha256 == anew.weights_sha256
    assert not workspace.resume_checkpoint(parent).exists()


def test_a_pickle_for_a_parent_is_refused(tiny_run: MakeRun, tmp_path: Path) -> None:
    trace, path = tmp_path / "trace", tmp_path / "weights.safetensors"
    path.write_bytes(pickle.dumps(Hostile(trace)))
    with pytest.raises(UserError, match=r"weights\.safetensors: not a readable safetensors file"):
        execute(tiny_run("quantizer=ttq", f"parent={path}"))
    assert not trace.exists()
    pickle.loads(path.read_bytes())
    assert trace.exists(), "the file would have done it"


def test_a_hostile_checkpoint_executes_nothing(tmp_path: Path) -> None:
    trace, path = tmp_path / "trace", tmp_path / "last.ckpt"
    SealedCheckpointIO().save_checkpoint({"state": Hostile(trace)}, path)
    # The checksum does not protect: whoever writes a file can compute it.
    with pytest.raises(pickle.UnpicklingError):
        SealedCheckpointIO().load_checkpoint(path, weights_only=False)
    assert not trace.exists()
    with open_sealed(path) as stream:
        torch.load(stream, weights_only=False)
    assert trace.exists(), "the file would have done it"


def test_a_hostile_cifar10_archive_executes_nothing(tmp_path: Path) -> None:
    trace, folder = tmp_path / "trace", tmp_path / ARCHIVE_FOLDER
    folder.mkdir()
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"]
    for name in names:
        (folder / name).write_bytes(pickle.dumps(Hostile(trace)))
    with pytest.raises(DataError, match=f"^no CIFAR-10: .*{ARCHIVE_FOLDER} that can be read"):
        load_cifar10(tmp_path, tmp_path / "cache")
    assert not trace.exists()
    pickle.loads((folder / names[0]).read_bytes())
    assert trace.exists(), "the files would have done it"


@pytest.mark.parametrize(
    "override",
    [
        "model.name=../../up",
        "data.name=/root",
        "data.name=2012",
        "quantizer.name=a/b",
        "recipe.name=.hidden",
        "recipe.name=5",
    ],
)
def test_names_cannot_leave_their_folders(tiny_run: MakeRun, override: str) -> None:
    group, _, name = override.partition(".name=")
    with pytest.raises(UserError, match=f"{group}.name={name}: must consist of letters"):
        tiny_run(override)


@pytest.mark.parametrize("seed", ["-1", "'../../1'", "1.5", "true"])
def test_a_seed_is_a_whole_number(tiny_run: MakeRun, seed: str) -> None:
    with pytest.raises(UserError, match=r"must be a (whole )?number"):
        tiny_run(f"seed={seed}")
