"""The plan of an artifact: which runs it needs, which are done, how long the rest will take."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ttq_repro.data.node import is_of_photographs
from ttq_repro.data.prepare import StoreRequest, Survey, survey
from ttq_repro.errors import DataError
from ttq_repro.humanize import duration
from ttq_repro.runs.hardware import (
    UNKNOWN_GPU,
    default_threads,
    device,
    gpu_name,
    has_gpu,
    processor,
)
from ttq_repro.runs.record import Record, read_record, read_records
from ttq_repro.runs.run import Run
from ttq_repro.runs.similar import SimilarRun, most_similar, on_gpu
from ttq_repro.runs.workspace import Workspace
from ttq_repro.workers import cores, threads_each


@dataclass(frozen=True)
class PlannedRun:
    """A run, whether its record exists, and what its speed is estimated from.

    Attributes:
        alike: the record of the most similar run.
        images: number of training images, if known beforehand.
        measured: training images per second, if they have been measured for this plan.
    """

    run: Run
    done: bool
    alike: SimilarRun | None
    images: int | None = None
    measured: float | None = None

    @property
    def speed(self) -> float | None:
        """Training images per second, measured or from the record of the similar run."""
        if self.measured is not None or self.alike is None:
            return self.measured
        return self.alike.speed

    @property
    def seconds(self) -> float | None:
        """Estimated duration, from the epoch time of the similar run if only that is known."""
        if self.speed and self.images:
            return self.run.epochs * self.images / self.speed
        if self.measured is None and self.alike and self.alike.is_of_the_same_images:
            return self.run.epochs * self.alike.epoch_seconds
        return None

    def state(self) -> str:
        if self.done:
            return "done"
        told = f"missing, {duration(self.seconds)}"
        if self.speed:
            told += f" at {self.speed:,.0f} images/s"
        if self.measured is None and self.alike and self.alike.unlike:
            told += f" (recorded with {', '.join(self.alike.unlike)})"
        return told


@dataclass(frozen=True)
class Plan:
    """Runs in the order of training, parents before children, each once.

    Attributes:
        jobs: how many train side by side.
        at_once: how many of these train at the estimated speed. Below ``jobs`` if that is the speed
            of a run that has the device, or more than its share of the cores, to itself.
        data: the survey of the photographs (None for arrays), or what is wrong with the images.
    """

    runs: list[PlannedRun]
    device: str
    jobs: int = 1
    at_once: int = 1
    data: Survey | DataError | None = None

    @property
    def missing(self) -> list[PlannedRun]:
        return [planned for planned in self.runs if not planned.done]

    @property
    def seconds(self) -> float | None:
        """Estimated duration of all missing runs; None if that of any is unknown."""
        seconds = {planned.run.name: planned.seconds for planned in self.missing}
        total = _sum(seconds.values())
        if total is None:
            return None
        # A run cannot be divided, nor start before its parent ends.
        chains = (
            (seconds[planned.run.name] or 0)
            + ((planned.run.parent and seconds.get(planned.run.parent.name)) or 0)
            for planned in self.missing
        )
        return max(total / self.at_once, max(chains, default=0))

    def lines(self) -> list[str]:
        """The plan as text, one line per run."""
        width = max(len(planned.run.label) for planned in self.runs)
        lines = [f"device: {self.device}", f"speed: {self._speed()}"]
        if self.data is not None:
            lines.append(f"data: {self.data}")
        lines += [f"  {planned.run.label:{width}}  {planned.state()}" for planned in self.runs]
        lines.append(
            f"{len(self.missing)} of {len(self.runs)} runs to train"
            + (f", {duration(self.seconds)}" if self.missing else "")
            + (f", {self._side_by_side()}" if self.missing and self.jobs > 1 else "")
        )
        return lines

    def _speed(self) -> str:
        if any(planned.measured is not None for planned in self.runs):
            return "as measured now"
        days: dict[str, str] = {}
        for planned in self.missing or self.runs:
            if planned.alike is not None:
                days.setdefault(planned.alike.where, planned.alike.day)
        if not days:
            return "none recorded on this kind of device yet; MEASURE=1 measures it"
        told = "as recorded " + "; ".join(f"{where}, on {day}" for where, day in days.items())
        return told + ("; this GPU may be another model" if self.device == UNKNOWN_GPU else "")

    def _side_by_side(self) -> str:
        known_of_fewer = self.seconds is not None and self.at_once < self.jobs
        counted = f", estimated for {self.at_once} at a time" if known_of_fewer else ""
        return f"{self.jobs} side by side{counted}"


def make_plan(runs: Iterable[Run], workspace: Workspace, jobs: int = 1) -> Plan:
    """Order the runs, add their parents, and estimate times from the latest recorded speeds.

    Args:
        jobs: how many of them train side by side.
    """
    ordered: dict[str, Run] = {}
    for run in runs:
        for needed in filter(None, (run.parent, run)):
            ordered.setdefault(needed.name, needed)
    done = {
        name: read_record(workspace.record(run), warn=_print_warning) is not None
        for name, run in ordered.items()
    }
    for name, run in ordered.items():
        # A record is enough for a table, but a child to be trained needs its parent's weights.
        if run.parent and not done[name] and not workspace.weights(run.parent).is_file():
            done[run.parent.name] = False
    records = _recorded(workspace)
    # All runs of an artifact use the same images, except those that some hold out.
    first = next(iter(ordered.values()))
    data = _survey(first, workspace)
    accelerator = first.config["trainer"]["accelerator"]
    by_gpu = has_gpu(accelerator)
    hardware = gpu_name() if by_gpu else processor()
    threads = threads_each(default_threads(), jobs * first.processes)
    of_this_kind = [record for record in records if on_gpu(record) == by_gpu]
    planned = [
        PlannedRun(
            run,
            done[name],
            # A GPU computes the steps itself, however many threads there are.
            most_similar(run, of_this_kind, hardware, None if by_gpu else threads),
            _training_images(run, data),
        )
        for name, run in ordered.items()
    ]
    plan = Plan(planned, device(accelerator), jobs, data=data)
    if all(one.alike and one.alike.threads == threads for one in plan.missing):
        return replace(plan, at_once=at_once(jobs, threads * first.processes, by_gpu=by_gpu))
    return plan


def at_once(jobs: int, threads: int, *, by_gpu: bool) -> int:
    """How many of ``jobs`` runs, with ``threads`` each, keep the speed of one that runs alone.

    On a CPU, as many as can have their own cores. On a GPU only one, as the gain from sharing it
    has not been measured.
    """
    return 1 if by_gpu else min(jobs, max(1, cores() // threads))


def _training_images(run: Run, data: Survey | DataError | None) -> int | None:
    """The number of training images if known; for a result, its config gives it."""
    if isinstance(data, Survey):
        images = data.images["train"]
    elif run.is_result and "images" in run.config["data"]:
        images = run.config["data"]["images"]["train"]
    else:
        return None
    return images - round(run.config["data"].get("held_out", 0) * images)


def _print_warning(message: str) -> None:
    print(f"warning: {message}")


def _survey(run: Run, workspace: Workspace) -> Survey | DataError | None:
    """A survey of a run's photographs, or what is wrong with them; None for arrays."""
    if not is_of_photographs(run.config["data"]):
        return None
    try:
        return survey(StoreRequest.of(run.config["data"], workspace.cache, whole=run.is_result))
    except DataError as error:
        return error


def _recorded(workspace: Workspace) -> list[Record]:
    """Records from any device, latest first."""
    found = [
        record
        for home in (workspace.results, workspace.outputs)
        for record in read_records(home / "records", warn=lambda _: None)
    ]
    return sorted(found, key=lambda record: record.provenance["finished"], reverse=True)


def _sum(values: Iterable[float | None]) -> float | None:
    known = list(values)
    return None if None in known else sum(value for value in known if value is not None)
