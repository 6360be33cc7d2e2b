"""By default nothing leaves the machine, and nothing is written outside the stated folders."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import TINY
from ttq_repro.files import ROOT

CONNECT = re.compile(r"(?:connect|sendto)\(.*sa_family=(AF_INET6?), .*?\"([0-9a-f.:]+)\"")
WRITE = re.compile(
    r'(?:openat|creat|mkdir|rename|symlink)\w*\(.*?"(/[^"]*)"'
    r".*(?:O_WRONLY|O_RDWR|O_CREAT|0\d+|rename|sym).*= \d"
)
LOOPBACK = {"127.0.0.1", "::1"}


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder with a short name: wandb puts its socket elsewhere if the name is long."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_a_run_keeps_to_itself(tmp_path: Path, short_folder: Path) -> None:
    home, workspace, temporary = tmp_path / "home", tmp_path / "workspace", short_folder
    for folder in (home, workspace):
        folder.mkdir()
    trace = tmp_path / "trace"
    settings = [s for s in TINY if not s.startswith("logger")]
    done = subprocess.run(
        [
            *("strace", "-f", "-qq", "-s", "300", "-o", str(trace)),
            *("-e", "trace=connect,sendto,openat,creat,mkdir,mkdirat,rename,renameat2,symlink"),
            *(sys.executable, str(ROOT / "scripts" / "train.py"), *settings),
            *("quantizer=ttq", "recipe.epochs=1", f"workspace={workspace}"),
            f"hydra.run.dir={workspace}/outputs/hydra",
        ],
        cwd=workspace,
        env=os.environ | {"HOME": str(home), "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = trace.read_text(errors="replace").splitlines()
    addresses = {found[2] for line in lines if (found := CONNECT.search(line))}
    assert addresses <= LOOPBACK
    written = {Path(found[1]) for line in lines if (found := WRITE.search(line))}
    allowed = (workspace, temporary, Path("/dev"), Path("/proc"))
    strangers = {path for path in written if not any(path.is_relative_to(a) for a in allowed)}
    assert not {path for path in strangers if "__pycache__" not in path.parts}
    assert any(path.is_relative_to(workspace / "outputs") for path in written), "the trace works"
    assert list(workspace.rglob("*.wandb")), "wandb was on"
