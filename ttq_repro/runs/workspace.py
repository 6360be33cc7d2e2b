"""Where the files of a run are stored."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from ttq_repro.checks import check_option, check_path
from ttq_repro.errors import UserError
from ttq_repro.files import ROOT, nearest_existing
from ttq_repro.runs.config import Config
from ttq_repro.runs.run import Run

#: The end of the identity of a run by several processes, see :attr:`Run.identity`.
TOGETHER = re.compile(r"-x(\d+)-[0-9a-f]{8}$")


@dataclass(frozen=True)
class Workspace:
    """The folder that holds ``results/`` (committed) and ``outputs/`` (ignored)."""

    root: Path

    @classmethod
    def of(cls, config: Config) -> Workspace:
        """The workspace that a config names, by default this checkout.

        Raises:
            UserError: what it names is not a path, or cannot be a folder.
        """
        if config["workspace"] is None:
            return cls(ROOT)
        check_option("workspace", config["workspace"], check_path)
        root = Path(config["workspace"])
        if not (nearest := nearest_existing(root)).is_dir():
            raise UserError(f"workspace={root}: {nearest} is not a folder")
        return cls(root)

    @classmethod
    def existing(cls, config: Config) -> Workspace:
        """The workspace that a config names, if it is only to be read and so has to exist.

        Raises:
            UserError: there is no such folder.
        """
        workspace = cls.of(config)
        if not workspace.root.is_dir():
            raise UserError(f"workspace={workspace.root}: no such folder")
        return workspace

    def check_writable(self) -> None:
        """Check that files can be written into it.

        Raises:
            UserError: they cannot.
        """
        if not os.access(nearest := nearest_existing(self.root), os.W_OK):
            raise UserError(f"workspace={self.root}: {nearest} is not writable")

    @property
    def results(self) -> Path:
        return self.root / "results"

    @property
    def outputs(self) -> Path:
        return self.root / "outputs"

    @property
    def cache(self) -> Path:
        """Decoded data sets, and the caches of libraries."""
        return self.outputs / "cache"

    def home(self, *, is_result: bool) -> Path:
        """Where records and tables go: results/ for results, outputs/ for digits and trials."""
        return self.results if is_result else self.outputs

    @contextmanager
    def drawing(self, home: Path) -> Iterator[None]:
        """Hold the lock for drawing tables and figures into ``home``.

        Temporary files that killed processes left there are removed.
        """
        self.outputs.mkdir(parents=True, exist_ok=True)
        with FileLock(self.outputs / "drawing.lock"):
            for folder in (home, home / "tables", home / "figures"):
                for leftover in folder.glob(".*.tmp"):
                    leftover.unlink()
            yield

    def process_counts(self) -> set[int]:
        """The numbers of processes, above 1, that trained results, from their identities."""
        names = (folder.name for folder in self.results.glob("records/*/*"))
        return {int(found[1]) for name in names if (found := TOGETHER.search(name))}

    def record(self, run: Run) -> Path:
        home = self.home(is_result=run.is_result)
        return _record(home, run.dataset, run.identity, f"seed{run.seed}")

    def weights(self, run: Run) -> Path:
        """The network at the end of the run, latent weights included."""
        home = self.home(is_result=run.is_result)
        return _weights(home, run.dataset, run.identity, f"seed{run.seed}")

    def scratch(self, run: Run) -> Path:
        """What only the run itself needs: its resume checkpoint, logs and lock."""
        return self.outputs / "runs" / run.dataset / run.identity / f"seed{run.seed}"

    def resume_checkpoint(self, run: Run) -> Path:
        return self.scratch(run) / "last.ckpt"

    def lock(self, run: Run) -> Path:
        return self.scratch(run) / "lock"


def record_and_weights(path: Path) -> tuple[Path, Path]:
    """The record and the weights of the run to which ``path``, one of the two, belongs.

    Raises:
        UserError: ``path`` cannot be either of them.
    """
    if len(path.parents) < 4:
        raise UserError(f"{path}: neither the record nor the weights of a run")
    home, dataset, identity = path.parents[3], path.parents[1].name, path.parent.name
    place = (home, dataset, identity, path.stem)
    return _record(*place), _weights(*place)


def _record(home: Path, dataset: str, identity: str, seed: str) -> Path:
    return home / "records" / dataset / identity / f"{seed}.json"


def _weights(home: Path, dataset: str, identity: str, seed: str) -> Path:
    return home / "checkpoints" / dataset / identity / f"{seed}.safetensors"
