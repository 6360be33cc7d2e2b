"""Where every file of a run lies. No other module puts a path together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ttq_repro.runs.config import ROOT, Config
from ttq_repro.runs.run import Run


@dataclass(frozen=True)
class Workspace:
    """The folder that holds ``results/`` (committed) and ``outputs/`` (ignored)."""

    root: Path

    @classmethod
    def of(cls, config: Config) -> Workspace:
        """The workspace that a config names, by default this checkout."""
        return cls(Path(config["workspace"] or ROOT))

    @property
    def results(self) -> Path:
        return self.root / "results"

    @property
    def outputs(self) -> Path:
        return self.root / "outputs"

    @property
    def cache(self) -> Path:
        """Decoded data sets, and what wandb keeps for itself."""
        return self.outputs / "cache"

    def home(self, *, is_result: bool) -> Path:
        """Where records and tables go: results/ for results, outputs/ for digits and trials."""
        return self.results if is_result else self.outputs

    def record(self, run: Run) -> Path:
        folder = self.home(is_result=run.is_result) / "records" / run.dataset / run.identity
        return folder / f"seed{run.seed}.json"

    def weights(self, run: Run) -> Path:
        """The network at the end of the run, latent weights included."""
        folder = self.home(is_result=run.is_result) / "checkpoints" / run.dataset / run.identity
        return folder / f"seed{run.seed}.safetensors"

    def scratch(self, run: Run) -> Path:
        """What only the run itself needs: its resume checkpoint, logs and lock."""
        return self.outputs / "runs" / run.dataset / run.identity / f"seed{run.seed}"

    def resume_checkpoint(self, run: Run) -> Path:
        return self.scratch(run) / "last.ckpt"

    def lock(self, run: Run) -> Path:
        return self.scratch(run) / "lock"
