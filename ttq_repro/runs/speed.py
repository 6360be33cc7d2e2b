"""The speed of a run, as recorded of a similar one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any

from ttq_repro.runs.config import Config
from ttq_repro.runs.record import Record, last_eighth
from ttq_repro.runs.run import Run
from ttq_repro.workers import cores


@dataclass(frozen=True)
class Speed:
    """How fast a run trains.

    Attributes:
        images: training images per second.
        source: where it is from, in words.
        threads: of all processes of the run together; None on a GPU.
    """

    images: float
    source: str
    threads: int | None

    @property
    def side_by_side(self) -> int:
        """How many runs keep this speed at the same time.

        On a CPU, as many as can have their own cores. On a GPU only one, as the gain from sharing
        it depends on the network.
        """
        return 1 if self.threads is None else max(1, cores() // self.threads)


def recorded_speed(
    run: Run, records: Iterable[Record], device: str | None, threads: int | None
) -> Speed | None:
    """The speed of ``run`` according to the record that was made under the most similar conditions.

    Only records with the same class of network and the same size of images are considered. If the
    networks differ in depth, the speed is scaled in proportion.

    Args:
        records: those of one kind of device; the first one counts if several are as similar.
        device: the GPU or CPU that the run will use; None if unknown.
        threads: how many threads each of its processes will use; None on a GPU.
    """
    wanted = _conditions(run.config, device, threads)

    def differences(record: Record) -> dict[str, Any]:
        used = record.provenance
        found = _conditions(
            record.config,
            used["processor" if threads else "device"],
            used["threads"] if threads else None,
        )
        return {key: value for key, value in found.items() if value != wanted[key]}

    similar = [
        record for record in records if _comparable(record.config) == _comparable(run.config)
    ]
    if not similar:
        return None
    # An earlier condition counts more than all those after it together.
    closest = min(similar, key=lambda record: [key in differences(record) for key in wanted])
    used, depths = closest.provenance, _depth(closest.config) / _depth(run.config)
    others = ", ".join(f"{key}={value}" for key, value in differences(closest).items())
    return Speed(
        depths * used["train_images"] / median(last_eighth(closest.metrics["seconds"])),
        f"recorded {used['finished'][:10]}" + (f" with {others}" if others else ""),
        used["threads"] * closest.config["trainer"]["devices"] if threads else None,
    )


def _comparable(config: Config) -> tuple[str, str | int]:
    """The class of network, and what determines the size of images: the crop of photographs."""
    return config["model"]["_target_"], config["data"].get("crop", config["data"]["name"])


def _conditions(config: Config, device: str | None, threads: int | None) -> dict[str, Any]:
    """What a speed depends on, most important first."""
    trainer = config["trainer"]
    return {
        "processes": trainer["devices"],
        "precision": trainer["precision"],
        "plain": trainer["plain"],
        "distilled": bool(config["distillation"]),
        "device": device,
        "threads": threads,
        "batch_size": config["recipe"]["batch_size"],
        "model": config["model"]["name"],
    }


def _depth(config: Config) -> int:
    """The number of layers that make up nearly all the work; 1 if the class has a single depth."""
    return config["model"].get("depth", 3) - 2
