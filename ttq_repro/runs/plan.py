"""The plan of an artifact: which runs it needs, which are there, how long the rest will take."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from ttq_repro.data.prepare import Photographs, Survey, survey
from ttq_repro.errors import DataError
from ttq_repro.runs.config import Config
from ttq_repro.runs.hardware import device, has_gpu, processor
from ttq_repro.runs.record import Record, read_record, read_records
from ttq_repro.runs.run import Run
from ttq_repro.runs.workspace import Workspace
from ttq_repro.words import duration
from ttq_repro.workers import cores


@dataclass(frozen=True)
class PlannedRun:
    """A run, whether its record is there, and what tells how fast it will be.

    Attributes:
        alike: the record that comes closest to it.
        images: training images of its data set, where that is known beforehand.
        measured: training images a second, measured just now.
    """

    run: Run
    done: bool
    alike: Record | None
    images: int | None = None
    measured: float | None = None

    @property
    def speed(self) -> float | None:
        """Training images a second, measured or as the alike run had them."""
        if self.measured is not None or self.alike is None:
            return self.measured
        images = self.alike.provenance.get("train_images")
        return images / self._alike_seconds(self.alike) if images else None

    @property
    def seconds(self) -> float | None:
        """The time it takes; by epochs as the alike run had them if that is all there is."""
        if self.speed and self.images:
            return self.run.epochs * self.images / self.speed
        if self.alike and self.alike.config["data"]["name"] == self.run.dataset:
            return self.run.epochs * self._alike_seconds(self.alike)
        return None

    @property
    def network_bytes(self) -> int | None:
        """What the network takes on disk, as far as the alike run's layers tell."""
        layers = self.alike.decisions if self.alike else []
        return 4 * sum(layer.get("weights", 0) for layer in layers) or None

    def state(self) -> str:
        if self.done:
            return "done"
        speed = f" at {self.speed:,.0f} images/s" if self.speed else ""
        return f"missing, {duration(self.seconds)}{speed}"

    def _alike_seconds(self, alike: Record) -> float:
        """Its median epoch, another depth counted in proportion."""
        return _work(self.run.config) / _work(alike.config) * median(alike.metrics["seconds"])


@dataclass(frozen=True)
class Plan:
    """Runs in the order of training, parents before children, each once.

    Attributes:
        jobs: how many train side by side.
        data: what is known of the photographs, or what is wrong with them; None for arrays.
    """

    runs: list[PlannedRun]
    device: str
    jobs: int = 1
    data: Survey | DataError | None = None

    @property
    def missing(self) -> list[PlannedRun]:
        return [planned for planned in self.runs if not planned.done]

    def lines(self) -> list[str]:
        """The plan as text, a line a run."""
        width = max(len(planned.run.label) for planned in self.runs)
        lines = [f"device: {self.device}", f"speed: {self._speed()}"]
        if self.data is not None:
            lines += [f"data: {self.data}", f"disk: {self._disk()}"]
        lines += [f"  {planned.run.label:{width}}  {planned.state()}" for planned in self.runs]
        total = _sum(planned.seconds for planned in self.missing)
        lines.append(
            f"{len(self.missing)} of {len(self.runs)} runs to train"
            + (f", {duration(total and total / self.jobs)}" if self.missing else "")
            + (f", {self.jobs} side by side" if self.missing and self.jobs > 1 else "")
        )
        return lines

    def _speed(self) -> str:
        for planned in self.runs:
            if planned.alike is not None:
                source, precision = planned.alike.provenance, _precision(planned.alike.config)
                day = source["finished"][:10]
                return f"as recorded on {source['processor']}, in {precision}, on {day}"
        return "none recorded on this kind of device yet"

    def _disk(self) -> str:
        """What data and networks to come take, and the checkpoint of the one in training."""
        new = self.data.cost.bytes if isinstance(self.data, Survey) and not self.data.done else 0
        networks = [planned.network_bytes for planned in self.missing]
        total = _sum(networks)
        if total is None:
            return f"{_size(new)} for data; networks and checkpoints unknown"
        # A checkpoint holds the weights and up to two moments of each.
        checkpoint = 3 * max(filter(None, networks), default=0)
        return (
            f"{_size(new)} for data, {_size(total)} for networks, {_size(checkpoint)} for a "
            "checkpoint while one trains"
        )


def make_plan(runs: Iterable[Run], workspace: Workspace, jobs: int = 1) -> Plan:
    """Order the runs, add their parents, and estimate times from the last recorded speeds.

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
    data = _survey(next(iter(ordered.values())), workspace)
    images = data.images["train"] if isinstance(data, Survey) else None
    planned = [
        PlannedRun(run, done[name], _alike(run, records, jobs), images)
        for name, run in ordered.items()
    ]
    return Plan(planned, device(), jobs, data)


def _print_warning(message: str) -> None:
    print(f"warning: {message}")


def _survey(run: Run, workspace: Workspace) -> Survey | DataError | None:
    """The photographs of a run; all runs of an artifact see the same."""
    if "short_side" not in run.config["data"]:
        return None
    try:
        return survey(Photographs.of(run.config["data"], workspace.cache))
    except DataError as error:
        return error


def _recorded(workspace: Workspace) -> list[Record]:
    """Records of this kind of device, the latest first."""
    found = [
        record
        for home in (workspace.results, workspace.outputs)
        for record in read_records(home / "records", warn=lambda _: None)
        if (record.provenance["accelerator"] == "CUDAAccelerator") == has_gpu()
    ]
    return sorted(found, key=lambda record: record.provenance["finished"], reverse=True)


def _alike(run: Run, records: list[Record], jobs: int) -> Record | None:
    """The latest record of the same kind of network and images, if possible of this hardware."""
    threads = max(1, cores() // jobs)
    network, data = run.config["model"]["_target_"], run.config["data"]
    candidates = [
        record
        for record in records
        if record.config["model"]["_target_"] == network
        and (
            record.config["data"]["name"] == data["name"]
            or record.config["data"].get("crop", -1) == data.get("crop")
        )
    ]

    def mismatch(record: Record) -> tuple[bool, ...]:
        return (
            record.config["trainer"].get("devices", 1) != run.processes,
            _precision(record.config) != _precision(run.config),
            record.provenance["processor"] != processor(),
            record.provenance.get("threads", threads) != threads,
            record.config["data"]["name"] != data["name"],
            record.config["model"] != run.config["model"],
        )

    return min(candidates, key=mismatch, default=None)


def _work(config: Config) -> float:
    """Cost of a step in units that compare networks of one kind."""
    return config["model"].get("depth", 3) - 2


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB"


def _precision(config: Config) -> str:
    return config["trainer"]["precision"]


def _sum(values: Iterable[float | None]) -> float | None:
    known = list(values)
    return None if None in known else sum(value for value in known if value is not None)
