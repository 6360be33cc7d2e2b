"""Predicting the speed of a run from the records of similar runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from ttq_repro.data.node import is_of_photographs
from ttq_repro.runs.config import Config
from ttq_repro.runs.record import Record
from ttq_repro.runs.run import Run

#: The conditions that a speed depends on, in words, most important first; None if unknown.
Conditions = tuple[str | None, ...]


@dataclass(frozen=True)
class SimilarRun:
    """The record of the run that is most similar to one to be trained.

    Attributes:
        run: the run to be trained.
        unlike: the conditions of the recorded run that differ from those of ``run``, in words.
    """

    record: Record
    run: Run
    unlike: tuple[str, ...]

    @property
    def threads(self) -> int:
        return self.record.provenance["threads"]

    @property
    def where(self) -> str:
        return f"on {_hardware(self.record)}, in {self.record.config['trainer']['precision']}"

    @property
    def day(self) -> str:
        return self.record.provenance["finished"][:10]

    @property
    def epoch_seconds(self) -> float:
        """Its median epoch, scaled in proportion if the networks differ in depth."""
        scale = _work(self.run.config) / _work(self.record.config)
        # Only epochs since the last resume: earlier ones may be from another machine.
        earlier = sum(stint["epochs"] for stint in self.record.provenance.get("earlier", []))
        seconds = self.record.metrics["seconds"]
        return scale * median(seconds[earlier:] or seconds)

    @property
    def speed(self) -> float:
        """Training images per second."""
        return self.record.provenance["train_images"] / self.epoch_seconds

    @property
    def is_of_the_same_images(self) -> bool:
        return Run(self.record.config).dataset == self.run.dataset


def most_similar(
    run: Run, records: Iterable[Record], hardware: str | None, threads: int | None
) -> SimilarRun | None:
    """The most similar of ``records``, all from one kind of device; the first in a tie.

    Only records with the same class of network and the same size of images are considered.

    Args:
        hardware: the GPU or CPU that the run will use; None if unknown.
        threads: how many threads it will use; None if that does not matter.
    """
    data = run.config["data"]
    here = _conditions(run, hardware, threads)

    def unlike(record: Record) -> Conditions:
        there = _conditions(Run(record.config), _hardware(record), record.provenance["threads"])
        return tuple(
            found if None not in (found, wanted) and found != wanted else None
            for found, wanted in zip(there, here, strict=True)
        )

    found = [
        (unlike(record), record)
        for record in records
        if record.config["model"]["_target_"] == run.config["model"]["_target_"]
        and (
            record.config["data"]["name"] == data["name"]
            or (is_of_photographs(data) and record.config["data"].get("crop") == data["crop"])
        )
    ]
    if not found:
        return None
    differences, closest = min(
        found,
        key=lambda one: (*map(bool, one[0]), one[1].config["model"] != run.config["model"]),
    )
    return SimilarRun(closest, run, tuple(filter(None, differences)))


def _conditions(run: Run, hardware: str | None, threads: int | None) -> Conditions:
    return (
        "1 process" if run.processes == 1 else f"{run.processes} processes",
        run.config["trainer"]["precision"],
        "plain" if run.config["trainer"]["plain"] else "not plain",
        "distilled" if run.config["distillation"] else "not distilled",
        hardware,
        None if threads is None else "1 thread" if threads == 1 else f"{threads} threads",
        f"batches of {run.config['recipe']['batch_size']}",
        run.dataset,
        run.model,
    )


def on_gpu(record: Record) -> bool:
    return record.machine == "GPU"


def _hardware(record: Record) -> str:
    return record.provenance["device" if on_gpu(record) else "processor"]


def _work(config: Config) -> float:
    """Relative cost of a step, comparable only between networks of one class."""
    return config["model"].get("depth", 3) - 2
