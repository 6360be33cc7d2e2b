"""Time and memory of a report on many records."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tracemalloc
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.report.made_records import made
from ttq_repro.files import ROOT
from ttq_repro.report.report import _read
from ttq_repro.runs.cell import Cell, result_cells
from ttq_repro.runs.config import compose_config
from ttq_repro.runs.record import END, SEAL
from ttq_repro.runs.workspace import Workspace

SEEDS = 5


def leave_records(workspace: Workspace, count: int) -> None:
    """Write ``count`` records, five seeds per identity.

    Those of Table 1 come first, so that there is something to judge, with their parents, as without
    these each table would read all records. Of the other identities every second one is ternary.
    """
    cells = result_cells(compose_config("reproduce", []))
    full_precision, ttq = (
        json.dumps(asdict(made(_cell(cells, column), seed=1, error=0.088))).removesuffix("}")
        for column in ("full_precision", "ttq")
    )
    first_parent = json.loads(ttq + "}")["parent"]["identity"]
    for number in range(0, count, SEEDS):
        cell = cells[number // SEEDS] if number // SEEDS < len(cells) else None
        ternary = cell.run.quantizer == "ttq" if cell else number // SEEDS % 2
        template = ttq if ternary else full_precision
        old = json.loads(template + "}")["identity"]
        identity = cell.run.identity if cell else f"{old[:-8]}{number:08d}"
        if cell and ternary:
            template = template.replace(first_parent, cell.run.parent.identity)
        folder = workspace.results / "records" / "cifar10" / identity
        folder.mkdir(parents=True)
        for seed in range(1, SEEDS + 1):
            content = template.replace(old, identity).replace('"seed": 1', f'"seed": {seed}')
            digest = hashlib.sha256(content.encode()).hexdigest().encode()
            (folder / f"seed{seed}.json").write_bytes(content.encode() + SEAL + digest + END)


def _cell(cells: list[Cell], method: str) -> Cell:
    return next(cell for cell in cells if cell.labels["method"] == method)


def test_a_record_leaves_no_more_than_its_row(tmp_path: Path) -> None:
    peaks = []
    for count in (100, 400):
        workspace = Workspace(tmp_path / str(count))
        leave_records(workspace, count)
        _read(workspace, None)  # Modules and configs of the first use stay in memory.
        tracemalloc.start()
        _, runs = _read(workspace, None)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(runs) == count
    # A file has 7 or 32 kB, and takes ten times as much in memory when read.
    assert peaks[1] - peaks[0] < 300 * 8_000


@pytest.mark.slow
def test_ten_thousand_records_in_ten_seconds(tmp_path: Path) -> None:
    memory = []
    for count in (1_000, 10_000):
        workspace = Workspace(tmp_path / str(count))
        leave_records(workspace, count)
        report = f"{ROOT / 'scripts' / 'report.py'}"
        # The peak counts all earlier children too, so each child needs a parent of its own.
        program = (
            "import resource, subprocess, sys\n"
            "done = subprocess.run([sys.executable, *sys.argv[1:]], check=True)\n"
            "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
            "print(used.ru_maxrss, used.ru_utime + used.ru_stime)"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, report, f"workspace={workspace.root}"],
            cwd=tmp_path, check=True, capture_output=True, text=True,
        )  # fmt: skip
        kilobytes, seconds = done.stdout.splitlines()[-1].split()
        memory.append(int(kilobytes))
    assert (workspace.results / "report.html").read_text().count("<td>1</td>") >= count // SEEDS
    assert float(seconds) < 10
    assert memory[1] - memory[0] < 60_000
