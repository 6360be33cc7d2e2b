"""Everything under results/ that is drawn from records: artifacts, verdicts, the report."""

from __future__ import annotations

import re
import sys
import warnings
from pathlib import Path

from ttq_repro.errors import NothingToDrawError, UserError
from ttq_repro.files import write_atomically
from ttq_repro.paper.claims import CLAIMS
from ttq_repro.report.captions import PAPERS_DATASETS
from ttq_repro.report.claims_table import answer, claims_table, summary
from ttq_repro.report.figure6 import KERNELS
from ttq_repro.report.index import write_index
from ttq_repro.report.ledger import Judgement, Ledger
from ttq_repro.report.page import write_page
from ttq_repro.report.released_log import checked_folder
from ttq_repro.report.run_list import RunList
from ttq_repro.reproduce import render
from ttq_repro.runs.config import Config, choices, compose_config
from ttq_repro.runs.record import read_records
from ttq_repro.runs.run import RESULT_DATASETS
from ttq_repro.runs.workspace import Workspace

#: Data sets whose results stand in for those on one of the paper's.
STAND_INS = sorted(RESULT_DATASETS.difference(PAPERS_DATASETS))


def overview(request: Config) -> None:
    """Draw every artifact, judge every claim, write the report (``configs/report.yaml``).

    Nothing is trained. What cannot be read or drawn is left out with a warning.

    Raises:
        UserError: the authors' logs are asked for and cannot be read.
    """
    workspace = Workspace.of(request)
    log = checked_folder(request["authors_log"])
    with workspace.drawing(workspace.results):
        before = _drawn(workspace)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        judgements, runs = _read(workspace, log)
        not_run: list[str] = []
        for artifact in choices("artifact"):
            not_run += _draw(artifact, workspace, log)
    problems = [
        str(warning.message).replace(f"{workspace.root}/", "")
        for warning in caught
        if issubclass(warning.category, UserWarning)
    ]
    problems = list(dict.fromkeys(problems))
    for problem in problems:
        print(f"warning: {problem}", file=sys.stderr)
    with workspace.drawing(workspace.results):
        claims_table(judgements).write(workspace.results / "tables", "claims")
        # What was not drawn now shows what is not so any more.
        for path, _ in before.items() & _drawn(workspace).items():
            path.unlink()
        page = write_page(workspace.results, judgements, runs, not_run, problems)
        write_index(workspace.results, judgements, runs, not_run)
        write_atomically(workspace.results / "answer.md", answer(judgements).encode())
    print(f"{summary(judgements)}\nwritten to {page}")


def _read(workspace: Workspace, log: Path | None) -> tuple[list[Judgement], RunList]:
    """Go once through the records, and keep of each no more than the report shows."""
    ledger, runs = Ledger(CLAIMS, workspace), RunList()
    for record in read_records(workspace.results / "records", warn=warnings.warn):
        try:
            runs.add(record)
            ledger.add(record)
        except Exception as error:  # Nor must a record take the others along.
            warnings.warn(f"{record.name}: not all of it is readable ({_why(error)})")
    return ledger.judge(workspace.results / "benchmarks", log), runs


def _draw(name: str, workspace: Workspace, log: Path | None) -> list[str]:
    """Draw an artifact, and apart from it that of each stand-in that there are records of.

    Returns:
        What cannot be drawn as nothing of it was run, and how to.
    """
    request = compose_config("reproduce", [f"artifact={name}"])
    request["workspace"] = str(workspace.root)
    artifact = request["artifact"]
    options = artifact.get("options", {})
    if "authors_log" in options and log is not None:
        options["authors_log"] = str(log)
    stand_ins = STAND_INS if "stand_in" in artifact else ()
    recorded = (d for d in stand_ins if (workspace.results / "records" / d).is_dir())
    not_run = []
    for dataset in (None, *recorded):
        try:
            render(request | {"dataset": dataset}, workspace)
        except NothingToDrawError as error:
            not_run.append(f"{name}: {error}")
        except Exception as error:  # One that cannot be drawn must not take the others along.
            warnings.warn(f"{name}: not drawn ({_why(error)})")
    return not_run


def _why(error: Exception) -> str:
    """What went wrong; of what nobody foresaw, its kind as well."""
    foreseen = isinstance(error, UserError | ValueError)
    return str(error) if foreseen else f"{type(error).__name__}: {error}"


def _drawn(workspace: Workspace) -> dict[Path, tuple[int, int]]:
    """Every file of an artifact's tables and figures, with what changes when it is written anew.

    Others that lie beside them are somebody else's.
    """
    ours = re.compile(
        rf"({'|'.join(choices('artifact'))})(_({'|'.join(STAND_INS)}))?({KERNELS})?\.(csv|md|png|svg)"
    )
    files = {}
    for folder in ("tables", "figures"):
        for path in (workspace.results / folder).glob("*"):
            if ours.fullmatch(path.name):
                state = path.stat()
                files[path] = (state.st_ino, state.st_mtime_ns)
    return files
