import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.records import record
from ttq_repro.files import ROOT
from ttq_repro.runs.config import without
from ttq_repro.runs.record import Record, last_eighth, pack_correct, read_records
from ttq_repro.runs.validation import METRICS

TTQ = {"quantizer": {"_target_": "ttq_repro.quantizers.TTQ"}}
LAST = ', "checksum": "' + "0" * 64 + '"}\n'


def test_round_trip(tmp_path: Path) -> None:
    correct = np.random.default_rng(0).random(1003) < 0.9
    final = 1 - correct.mean()
    made = record(correct=pack_correct(correct), test_images=1003, test_error={"final": final})
    made.write(tmp_path / "r.json")
    read = Record.read(tmp_path / "r.json")
    assert read == made
    assert np.array_equal(read.correct_images(), correct)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        # What the parser or Python says of these is up to them.
        ("", ""),
        ("{", ""),
        ("[]", ""),
        ("null", ""),
        ('{"schema": 1}', "schema 1, expected 2"),
        ('{"schema": 2}', "its checksum does not match"),
    ],
)
def test_unreadable_records_are_named_and_skipped(tmp_path: Path, content: str, why: str) -> None:
    record().write(tmp_path / "a-1" / "seed1.json")
    (tmp_path / "bad.json").write_text(content)
    warnings: list[str] = []
    assert len(list(read_records(tmp_path, warnings.append))) == 1
    (warning,) = warnings
    assert f"bad.json: not a readable record ({why}" in warning
    assert len(warning.splitlines()) == 1


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        (
            {"metrics": {"train_error": [], "seconds": [1.0]}},
            "its metrics and layers differ in length",
        ),
        ({"layers": {"a": {"zero": [0.5] * 2}}}, "its metrics and layers differ in length"),
        ({"metrics": {name: [] for name in METRICS}}, "it has no epochs"),
        ({"test_error": {"best": math.nan}}, "not all of its numbers are finite"),
        ({"metrics": {"train_error": [math.inf]}}, "not all of its numbers are finite"),
        ({"layers": {"a": {"zero": [math.nan]}}}, "not all of its numbers are finite"),
        (
            {"test_images": 9000, "correct": "AAAA"},
            "it does not have one bit for each of 9000 test images",
        ),
        ({"test_images": 0}, "it does not have one bit for each of 0 test images"),
        (
            {"metrics": {"test_error": [0.4]}, "test_error": {"final": 0.5}},
            "its final test error is not that of its last epoch",
        ),
        (
            {"test_error": {"final": 0.2943}, "correct": pack_correct(np.arange(1000) >= 112)},
            "its final test error does not match 112 wrong answers on 1000 images",
        ),
        ({"seed": "x"}, "its seed is not a whole number"),
        ({"provenance": {"accelerator": 5}}, "its accelerator is not text"),
        ({"parent": {"identity": "p-1"}}, "it has no weights_sha256"),
        ({"decisions": [{"layer": "a", "reason": "", "weights": 1}]}, "it has no quantize"),
        (
            {
                "config": TTQ,
                "decisions": [{"layer": "a", "quantize": True, "reason": "", "weights": 1}],
            },
            "its decisions and its layers disagree on a",
        ),
        ({"config": TTQ, "layers": {"a": {}}}, "its decisions and its layers disagree on a"),
    ],
)
def test_a_record_that_lacks_something_is_no_record(
    fields: dict[str, Any], why: str, tmp_path: Path
) -> None:
    path = tmp_path / "seed1.json"
    record(**fields).write(path)
    with pytest.raises(ValueError, match=rf"seed1\.json: not a readable record \({why}\)"):
        Record.read(path)


@pytest.mark.parametrize(
    ("field", "name"),
    [
        *(("metrics", name) for name in ("train_error", "test_error", "seconds")),
        *(("test_error", name) for name in ("final", "best", "trailing")),
        *(("inputs", name) for name in ("size", "crop_fraction", "mean", "std", "classes")),
        *(
            ("provenance", name)
            for name in (
                "accelerator",
                "compiled",
                "device",
                "finished",
                "graphed",
                "processor",
                "threads",
                "train_images",
                "versions",
            )
        ),
    ],
)
def test_what_every_record_has_is_missed(field: str, name: str, tmp_path: Path) -> None:
    made = record()
    made = replace(made, **{field: without(getattr(made, field), name)})
    made.write(tmp_path / "seed1.json")
    with pytest.raises(ValueError, match=rf"\(it has no {name}\)"):
        Record.read(tmp_path / "seed1.json")


def test_a_record_in_the_place_of_another_is_named_and_skipped(tmp_path: Path) -> None:
    record(seed=1).write(tmp_path / "a-1" / "seed2.json")
    warnings: list[str] = []
    assert not list(read_records(tmp_path, warnings.append))
    assert warnings == [f"skipped {tmp_path}/a-1/seed2.json: it is the record of a-1 seed 1"]


@pytest.mark.parametrize(
    "unlike", [{"test_images": 900}, {"metrics": {"seconds": [1.0, 1.0]}}, {"layers": {"a": {}}}]
)
def test_a_seed_unlike_most_of_its_run_is_named_and_left_out(
    unlike: dict[str, Any], tmp_path: Path
) -> None:
    for seed, fields in enumerate((unlike, {}, {}), 1):
        record(seed=seed, **fields).write(tmp_path / "a-1" / f"seed{seed}.json")
    warnings: list[str] = []
    assert [one.seed for one in read_records(tmp_path, warnings.append)] == [2, 3]
    (warning,) = warnings
    assert f"skipped {tmp_path}/a-1/seed1.json: " in warning
    assert "do not match the run's other seeds" in warning


def test_an_infinite_loss_on_the_test_images_is_no_damage(tmp_path: Path) -> None:
    record(metrics={"test_loss": [math.inf]}).write(tmp_path / "seed1.json")
    assert Record.read(tmp_path / "seed1.json").metrics["test_loss"] == [math.inf]


def test_the_committed_records_read() -> None:
    """The earliest have neither histograms nor layer sizes."""
    paths = list((ROOT / "results" / "records").rglob("*.json"))
    records = list(read_records(ROOT / "results" / "records", pytest.fail))
    assert len(records) == len(paths) > 0
    for read in records:
        errors = read.metrics["test_error"]
        assert read.test_error["best"] == min(errors)
        assert read.test_error["trailing"] == pytest.approx(np.mean(last_eighth(errors)))


def test_sparsity_counts_weights_not_layers() -> None:
    layers = {"a": {"zero": [0.9, 0.5]}, "b": {"zero": [0.9, 0.1]}}
    sizes = [("stem", 1000), ("a", 10), ("b", 30)]
    made = record(
        layers=layers, decisions=[{"layer": name, "weights": size} for name, size in sizes]
    )
    assert made.sparsity() == pytest.approx((0.5 * 10 + 0.1 * 30) / 40)


def test_without_zeros_there_is_no_sparsity() -> None:
    assert record(layers={}, decisions=[{"layer": "a", "weights": 10}]).sparsity() is None


def test_any_changed_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    record(metrics={"test_error": [0.5]}).write(path)
    stored = path.read_bytes()
    assert json.loads(stored)["checksum"] == hashlib.sha256(stored[: -len(LAST)]).hexdigest()
    for place in range(len(stored)):
        path.write_bytes(stored[:place] + bytes([stored[place] ^ 1]) + stored[place + 1 :])
        with pytest.raises(ValueError, match=r"r\.json: not a readable record"):
            Record.read(path)
