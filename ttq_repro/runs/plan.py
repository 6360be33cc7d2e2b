"""The plan of an artifact: which runs it needs, which are there, how long the rest will take."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from ttq_repro.runs.provenance import processor
from ttq_repro.runs.record import Record, read_records
from ttq_repro.runs.run import Run
from ttq_repro.runs.workspace import Workspace


@dataclass(frozen=True)
class PlannedRun:
    """A run, whether its record is there, and the seconds it will take (None: unknown)."""

    run: Run
    done: bool
    seconds: float | None


@dataclass(frozen=True)
class Plan:
    """Runs in the order of training, parents before children, each once."""

    runs: list[PlannedRun]
    device: str
    speed: str

    @property
    def missing(self) -> list[PlannedRun]:
        return [planned for planned in self.runs if not planned.done]

    def lines(self) -> list[str]:
        """The plan as text, a line a run."""
        width = max(len(planned.run.identity) for planned in self.runs)
        lines = [f"device: {self.device}", f"speed: {self.speed}"]
        for planned in self.runs:
            state = "done" if planned.done else f"missing, {duration(planned.seconds)}"
            lines.append(f"  {planned.run.identity:{width}}  seed {planned.run.seed}  {state}")
        total = _sum(planned.seconds for planned in self.missing)
        lines.append(
            f"{len(self.missing)} of {len(self.runs)} runs to train"
            + (f", {duration(total)}" if self.missing else "")
        )
        return lines


def make_plan(runs: Iterable[Run], workspace: Workspace) -> Plan:
    """Order the runs, add their parents, and estimate times from the last recorded speeds."""
    ordered: dict[tuple[str, int], Run] = {}
    for run in runs:
        for needed in filter(None, (run.parent, run)):
            ordered.setdefault((needed.identity, needed.seed), needed)
    records = list(_recorded(workspace))
    planned = [
        PlannedRun(run, workspace.record(run).is_file(), _seconds(run, records))
        for run in ordered.values()
    ]
    return Plan(planned, device(), _speed_note(records))


def device() -> str:
    """The GPU if the driver shows one, else the CPU; found without importing torch."""
    if Path("/proc/driver/nvidia/gpus").is_dir() or Path("/dev/nvidia0").exists():
        return "NVIDIA GPU"
    return f"CPU ({processor()})"


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
    on_gpu = device() == "NVIDIA GPU"
    found = [
        record
        for home in (workspace.results, workspace.outputs)
        for record in read_records(home / "records", warn=lambda _: None)
        if (record.provenance["accelerator"] == "CUDAAccelerator") == on_gpu
    ]
    return sorted(found, key=lambda record: record.provenance["finished"], reverse=True)


def _seconds(run: Run, records: list[Record]) -> float | None:
    """Epochs times the median epoch of the last alike run; another depth counts in proportion."""
    for record in records:
        config = record.config
        if config["data"]["name"] != run.dataset:
            continue
        if config["model"]["name"] == run.model:
            scale = 1.0
        elif "depth" in run.config["model"] and "depth" in config["model"]:
            scale = (run.config["model"]["depth"] - 2) / (config["model"]["depth"] - 2)
        else:
            continue
        return run.epochs * scale * median(record.metrics["seconds"])
    return None


def _speed_note(records: list[Record]) -> str:
    if not records:
        return "none recorded on this kind of device yet"
    last = records[0]
    return f"as recorded on {last.provenance['processor']}, {last.provenance['finished'][:10]}"


def _sum(values: Iterable[float | None]) -> float | None:
    known = list(values)
    return None if None in known else sum(value for value in known if value is not None)
