"""The plan of an artifact: which runs it needs, which are done, how long the rest will take."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ttq_repro.data.cifar10 import check_root
from ttq_repro.data.node import is_of_photographs, root_of
from ttq_repro.data.prepare import StoreRequest, Survey, survey
from ttq_repro.errors import DataError
from ttq_repro.files import ROOT
from ttq_repro.humanize import duration
from ttq_repro.runs.hardware import default_threads, device, gpu_name, has_gpu, processor
from ttq_repro.runs.record import Record, kind_of, read_record, read_records
from ttq_repro.runs.run import Run
from ttq_repro.runs.speed import Speed, recorded_speed
from ttq_repro.runs.workspace import Workspace
from ttq_repro.workers import threads_each


@dataclass(frozen=True)
class PlannedRun:
    """A run, whether it is done, and what its time is estimated from.

    Attributes:
        replaced: its record, if it is trained again for its weights, which are missing.
        images: number of training images, if known beforehand.
        speed: measured for this plan, or recorded of a similar run; None if there is neither.
    """

    run: Run
    done: bool
    replaced: Record | None
    images: int | None
    speed: Speed | None

    @property
    def seconds(self) -> float | None:
        """Estimated duration."""
        if self.speed is None or self.images is None:
            return None
        return self.run.epochs * self.images / self.speed.images

    def state(self) -> str:
        if self.done:
            return "done"
        told = f"missing, {duration(self.seconds)}"
        if self.speed is not None:
            told += f" at {self.speed.images:,.0f} images/s ({self.speed.source})"
        if self.replaced is not None:
            error = 100 * self.replaced.test_error["final"]
            told += (
                f"; only its weights are: its record ({error:.2f}% test error) is replaced, and "
                "recorded runs that started from it may no longer be compared"
            )
        return told


@dataclass(frozen=True)
class Plan:
    """Runs in the order of training, parents before children, each once.

    Attributes:
        jobs: how many train side by side.
        survey: of the photographs; None for arrays.
        problem: what is wrong with the images, if anything.
    """

    runs: list[PlannedRun]
    device: str
    jobs: int = 1
    survey: Survey | None = None
    problem: DataError | None = None

    @property
    def missing(self) -> list[PlannedRun]:
        return [planned for planned in self.runs if not planned.done]

    @property
    def at_once(self) -> int:
        """How many missing runs train at their estimated speeds side by side."""
        return min([self.jobs, *(one.speed.side_by_side for one in self.missing if one.speed)])

    @property
    def seconds(self) -> float | None:
        """Estimated duration of all missing runs; None if that of any is unknown."""
        total, chains = 0.0, {"": 0.0}
        for planned in self.missing:
            if planned.seconds is None:
                return None
            total += planned.seconds
            # A run cannot be divided, nor start before its parent ends.
            parent = planned.run.parent.name if planned.run.parent else ""
            chains[planned.run.name] = chains.get(parent, 0) + planned.seconds
        return max(total / self.at_once, *chains.values())

    def lines(self) -> list[str]:
        """The plan as text, one line per run."""
        width = max(len(planned.run.label) for planned in self.runs)
        lines = [f"device: {self.device}"]
        if data := self.problem or self.survey:
            lines.append(f"data: {data}")
        lines += [f"  {planned.run.label:{width}}  {planned.state()}" for planned in self.runs]
        return [*lines, f"{len(self.missing)} of {len(self.runs)} runs to train{self._total()}"]

    def _total(self) -> str:
        if not self.missing:
            return ""
        told = f", {duration(self.seconds)}"
        if self.jobs > 1:
            told += f", {self.jobs} side by side"
            if self.at_once < self.jobs and self.seconds is not None:
                told += f", estimated for {self.at_once} at a time"
        if any(planned.speed is None for planned in self.missing):
            told += "; MEASURE=1 measures what is not recorded"
        return told


def make_plan(runs: Iterable[Run], workspace: Workspace, jobs: int = 1) -> Plan:
    """Order the runs, add their parents, and estimate times from the latest recorded speeds.

    Args:
        jobs: how many of them train side by side.
    """
    ordered: dict[str, Run] = {}
    for run in runs:
        for needed in filter(None, (run.parent, run)):
            ordered.setdefault(needed.name, needed)
    recorded = {
        name: read_record(workspace.record(run), warn=_print_warning)
        for name, run in ordered.items()
    }
    # A record is enough for a table, but a child to be trained needs its parent's weights.
    parents = [run.parent for name, run in ordered.items() if run.parent and not recorded[name]]
    without = {parent.name for parent in parents if not workspace.weights(parent).is_file()}
    # All runs of an artifact use the same images and device.
    first = next(iter(ordered.values()))
    found, problem = _survey(first, workspace)
    accelerator = first.config["trainer"]["accelerator"]
    by_gpu = has_gpu(accelerator)
    kind = "GPU" if by_gpu else "CPU"
    # The last epochs count, which the last of its processes trained.
    records = [r for r in _recorded(workspace) if kind_of(r.provenance["device"]) == kind]
    hardware = gpu_name() if by_gpu else processor()
    threads = None if by_gpu else threads_each(default_threads(), jobs * first.processes)
    planned = [
        PlannedRun(
            run,
            recorded[name] is not None and name not in without,
            recorded[name] if name in without else None,
            _training_images(run, found),
            recorded_speed(run, records, hardware, threads),
        )
        for name, run in ordered.items()
    ]
    return Plan(planned, device(accelerator), jobs, found, problem)


def _training_images(run: Run, found: Survey | None) -> int | None:
    """The number of training images if known: as counted, or as its config says."""
    data = run.config["data"]
    images = data.get("images") if found is None else found.images
    if images is None:
        return None
    return images["train"] - round(data.get("held_out", 0) * images["train"])


def _print_warning(message: str) -> None:
    print(f"warning: {message}")


def _survey(run: Run, workspace: Workspace) -> tuple[Survey | None, DataError | None]:
    """A survey of a run's photographs (None for small images), or what is wrong with its images."""
    data = run.config["data"]
    try:
        if is_of_photographs(data):
            return survey(StoreRequest.of(data, workspace.cache, whole=run.is_result)), None
        if data["name"] == "cifar10":
            check_root(root_of(data))
        return None, None
    except DataError as error:
        return None, error


def _recorded(workspace: Workspace) -> list[Record]:
    """Records from any device, latest first; those of this checkout too, for another workspace."""
    found = [
        record
        for home in {workspace.results, workspace.outputs, Workspace(ROOT).results}
        for record in read_records(home / "records", warn=lambda _: None)
    ]
    return sorted(found, key=lambda record: record.provenance["finished"], reverse=True)
