"""The package without its checkout, as pip installs it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.deploy.networks import packed, trained
from ttq_repro.deploy.format import serialize
from ttq_repro.files import ROOT

PROGRAM = """
import torch
from ttq_repro.deploy import load
from ttq_repro.files import CACHE
from ttq_repro.quantizers import TTQ, quantize_

torch.set_num_threads(1)
quantize_(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(4, 2)), TTQ)
assert load("net.safetensors", "dense")(torch.zeros(1, 3, 32, 32)).shape == (1, 5)
print(CACHE)
"""


def test_it_quantizes_and_loads_and_keeps_its_cache_elsewhere(tmp_path: Path) -> None:
    place, here, cache = (tmp_path / name for name in ("packages", "here", "cache"))
    shutil.copytree(ROOT / "ttq_repro", place / "ttq_repro")
    here.mkdir()
    (here / "net.safetensors").write_bytes(serialize(packed(trained())))
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", PROGRAM],
        cwd=here,
        env=os.environ | {"PYTHONPATH": str(place), "XDG_CACHE_HOME": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{cache / 'ttq_repro'}\n"
    assert [path.name for path in place.iterdir()] == ["ttq_repro"]
    assert [path.name for path in here.iterdir()] == ["net.safetensors"]
