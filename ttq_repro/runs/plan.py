"""The plan of an artifact: which runs it needs, which are there, how long the rest will take."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from ttq_repro.runs.config import Config
from ttq_repro.runs.hardware import device, has_gpu, processor
from ttq_repro.runs.record import Record, read_record, read_records
from ttq_repro.runs.run import Run
from ttq_repro.runs.workspace import Workspace


@dataclass(frozen=True)
class PlannedRun:
    """A run, whether its record is there, and the record that tells how fast it will be."""

    run: Run
    done: bool
    alike: Record | None

    @property
    def seconds(self) -> float | None:
        """Epochs times the median epoch of the alike run, another depth counted in proportion."""
        if self.alike is None:
            return None
        scale = _work(self.run.config) / _work(self.alike.config)
        return self.run.epochs * scale * median(self.alike.metrics["seconds"])


@dataclass(frozen=True)
class Plan:
    """Runs in the order of training, parents before children, each once."""

    runs: list[PlannedRun]
    device: str

    @property
    def missing(self) -> list[PlannedRun]:
        return [planned for planned in self.runs if not planned.done]

    def lines(self) -> list[str]:
        """The plan as text, a line a run."""
        width = max(len(planned.run.name) for planned in self.runs)
        lines = [f"device: {self.device}", f"speed: {self._speed()}"]
        for planned in self.runs:
            state = "done" if planned.done else f"missing, {duration(planned.seconds)}"
            lines.append(f"  {planned.run.name:{width}}  {state}")
        total = _sum(planned.seconds for planned in self.missing)
        lines.append(
            f"{len(self.missing)} of {len(self.runs)} runs to train"
            + (f", {duration(total)}" if self.missing else "")
        )
        return lines

    def _speed(self) -> str:
        for planned in self.runs:
            if planned.alike is not None:
                source, precision = planned.alike.provenance, _precision(planned.alike.config)
                day = source["finished"][:10]
                return f"as recorded on {source['processor']}, in {precision}, on {day}"
        return "none recorded on this kind of device yet"


def make_plan(runs: Iterable[Run], workspace: Workspace) -> Plan:
    """Order the runs, add their parents, and estimate times from the last recorded speeds."""
    ordered: dict[str, Run] = {}
    for run in runs:
        for needed in filter(None, (run.parent, run)):
            ordered.setdefault(needed.name, needed)
    done = {
        name: read_record(workspace.record(run), warn=print) is not None
        for name, run in ordered.items()
    }
    for name, run in ordered.items():
        # A record is enough for a table, but a child to be trained needs its parent's weights.
        if run.parent and not done[name] and not workspace.weights(run.parent).is_file():
            done[run.parent.name] = False
    records = _recorded(workspace)
    planned = [PlannedRun(run, done[name], _alike(run, records)) for name, run in ordered.items()]
    return Plan(planned, device())


def duration(seconds: float | None) -> str:
    """Seconds as a person would say them."""
    if seconds is None:
        return "time unknown"
    if seconds < 90:
        return f"about {seconds:.0f} s"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h"


def _recorded(workspace: Workspace) -> list[Record]:
    """Records of this kind of device, the latest first."""
    found = [
        record
        for home in (workspace.results, workspace.outputs)
        for record in read_records(home / "records", warn=lambda _: None)
        if (record.provenance["accelerator"] == "CUDAAccelerator") == has_gpu()
    ]
    return sorted(found, key=lambda record: record.provenance["finished"], reverse=True)


def _alike(run: Run, records: list[Record]) -> Record | None:
    """The latest record of the same data and kind of network, if possible of this hardware."""
    network = run.config["model"]["_target_"]
    candidates = [
        record
        for record in records
        if record.config["data"]["name"] == run.dataset
        and record.config["model"]["_target_"] == network
    ]

    def strangeness(record: Record) -> tuple[bool, bool, bool]:
        return (
            _precision(record.config) != _precision(run.config),
            record.provenance["processor"] != processor(),
            record.config["model"] != run.config["model"],
        )

    return min(candidates, key=strangeness, default=None)


def _work(config: Config) -> float:
    """Cost of a step in units that compare networks of one kind."""
    return config["model"].get("depth", 3) - 2


def _precision(config: Config) -> str:
    return config["trainer"]["precision"]


def _sum(values: Iterable[float | None]) -> float | None:
    known = list(values)
    return None if None in known else sum(value for value in known if value is not None)
