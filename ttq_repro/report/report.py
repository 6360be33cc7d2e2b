"""Everything in results/ that is drawn: artifacts, verdicts, the page that shows them all."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Collection, Iterator
from pathlib import Path

from ttq_repro.errors import NothingToDrawError, UserError, headline
from ttq_repro.files import write_atomically
from ttq_repro.paper.claims import CLAIMS
from ttq_repro.report.claims_table import answer, claims_table, summary
from ttq_repro.report.draw import draw
from ttq_repro.report.figure6 import KERNELS
from ttq_repro.report.ledger import Judgement, Ledger
from ttq_repro.report.page import read_files, write_page
from ttq_repro.report.released_log import checked_folder
from ttq_repro.report.results_readme import write_results_readme
from ttq_repro.report.run_list import RunList
from ttq_repro.runs.config import Config, choices, compose_config
from ttq_repro.runs.record import read_records
from ttq_repro.runs.run import PAPERS_DATASETS, RESULT_DATASETS
from ttq_repro.runs.workspace import Workspace

#: Data sets whose results stand in for results on one of the paper's data sets.
STAND_INS = sorted(RESULT_DATASETS.difference(PAPERS_DATASETS))


def report(request: Config) -> None:
    """Draw every artifact, judge every claim, write the report (``configs/report.yaml``).

    Nothing is trained. Whatever cannot be read or drawn is left out with a warning.

    Raises:
        UserError: the authors' logs are requested but cannot be read.
    """
    workspace = Workspace.of(request)
    log = checked_folder(request["authors_log"])
    with workspace.drawing(workspace.results):
        before = _drawn(workspace)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        judgements, runs = _read(workspace, log)
        not_run, failed = _draw_all(workspace, log)
        with workspace.drawing(workspace.results):
            claims_table(judgements).write(workspace.results / "tables", "claims")
            # Files whose runs are all gone are out of date. Those that could not be redrawn are
            # kept: the reason may be a full disk.
            for path, _ in before.items() & _drawn(workspace, all_but=failed).items():
                path.unlink()
            files = read_files(workspace.results)
    problems = [
        str(warning.message).replace(f"{workspace.root}/", "")
        for warning in caught
        if issubclass(warning.category, UserWarning)
    ]
    problems = list(dict.fromkeys(problems))
    for problem in problems:
        print(f"warning: {problem}", file=sys.stderr)
    with workspace.drawing(workspace.results):
        page = write_page(workspace.results, judgements, runs, files, not_run, problems)
        write_results_readme(workspace.results, judgements, runs, not_run)
        write_atomically(workspace.results / "answer.md", answer(judgements).encode())
    print(f"{summary(judgements)}\nwritten to {page}")
    if log is None:
        print("the authors' released logs are not drawn; AUTHORS_LOG=FOLDER adds them")


def _read(workspace: Workspace, log: Path | None) -> tuple[list[Judgement], RunList]:
    """Read the records in one pass, keeping from each only what the report shows."""
    ledger, runs = Ledger(CLAIMS, workspace), RunList()
    for record in read_records(workspace.results / "records", warn=warnings.warn):
        try:
            runs.add(record)
            ledger.add(record)
        except Exception as error:  # One bad record must not hide the others.
            warnings.warn(f"{record.name}: only partly readable ({_why(error)})")
    return ledger.judge(workspace.results / "benchmarks", log), runs


def _draw_all(workspace: Workspace, log: Path | None) -> tuple[list[str], set[str]]:
    """Draw every version of every artifact.

    Returns:
        A line, with the command to run, for each version none of whose runs has a usable record;
        and the names of artifacts that could not be drawn for other reasons.
    """
    not_run, failed = [], set()
    for name, request in _versions(workspace, log):
        try:
            draw(request, workspace)
        except NothingToDrawError as error:
            not_run.append(f"{name}: {error}")
        except Exception as error:  # One that cannot be drawn must not stop the others.
            warnings.warn(f"{name}: not drawn, earlier files are kept ({_why(error)})")
            failed.add(name)
    return not_run, failed


def _versions(workspace: Workspace, log: Path | None) -> Iterator[tuple[str, Config]]:
    """A request for each artifact, and for its version of each stand-in data set with records."""
    for name in choices("artifact"):
        request = compose_config("reproduce", [f"artifact={name}"])
        request["workspace"] = str(workspace.root)
        artifact = request["artifact"]
        options = artifact.get("options", {})
        if "authors_log" in options and log is not None:
            options["authors_log"] = str(log)
        yield name, request
        for dataset in STAND_INS if "stand_in" in artifact else ():
            if (workspace.results / "records" / dataset).is_dir():
                yield name, request | {"dataset": dataset}


def _why(error: Exception) -> str:
    """The error's message, with its class if the error is an unexpected one."""
    foreseen = isinstance(error, UserError | ValueError)
    return str(error) if foreseen else headline(error, with_class=True)


def _drawn(workspace: Workspace, *, all_but: Collection[str] = ()) -> dict[Path, tuple[int, int]]:
    """Every table and figure file of the artifacts, with a state that changes when it is rewritten.

    Other files beside them may be the user's, and are not included.

    Args:
        all_but: artifacts to leave out.
    """
    names = [name for name in choices("artifact") if name not in all_but]
    ours = re.compile(
        rf"({'|'.join(names)})(_({'|'.join(STAND_INS)}))?({KERNELS})?\.(csv|md|png|svg)"
    )
    files = {}
    for folder in ("tables", "figures"):
        for path in (workspace.results / folder).glob("*"):
            if ours.fullmatch(path.name):
                state = path.stat()
                files[path] = (state.st_ino, state.st_mtime_ns)
    return files
