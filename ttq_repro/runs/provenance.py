"""Where a record comes from: commit and versions."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from typing import Any

from ttq_repro.files import ROOT

PACKAGES = ("torch", "torchvision", "pytorch-lightning", "hydra-core", "numpy")


def commit() -> dict[str, Any]:
    """The checkout's commit, and whether tracked source differs from it; empty outside git."""
    try:
        head = _git("rev-parse", "HEAD")
        dirty = bool(_git("status", "--porcelain", "--untracked-files=no", "--", ":!results"))
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {"commit": head, "dirty": dirty}


def versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", "--no-optional-locks", *arguments],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
