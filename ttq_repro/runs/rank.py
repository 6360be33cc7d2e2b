"""One of the processes that train a run together: python -m ttq_repro.runs.rank FOLDER."""

from __future__ import annotations

import json
import os
import sys
import traceback
from functools import partial
from pathlib import Path
from typing import NoReturn

from ttq_repro.data.share import Share
from ttq_repro.errors import UserError
from ttq_repro.files import write_atomically
from ttq_repro.runs.failures import explained, lost_the_others
from ttq_repro.runs.parent import read_parent
from ttq_repro.runs.processes import end_with_starter
from ttq_repro.runs.run import Run
from ttq_repro.runs.share import data_of, train_share
from ttq_repro.runs.together import CONFIG, REASON
from ttq_repro.runs.workspace import Workspace


def main(folder: Path) -> None:
    """Train this process's share of the run in ``folder``; the starter holds the run's lock."""
    end_with_starter()
    config, replaced = json.loads((folder / CONFIG).read_text())
    run = Run(config)
    workspace = Workspace.of(run.config)
    share = Share(int(os.environ["LOCAL_RANK"]), run.processes)
    say = partial(print, flush=True) if share.rank == 0 else _nothing
    try:
        with explained(run):
            parent = read_parent(run, workspace, say)
            train_share(run, parent, data_of(run, workspace), share, replaced, say)
    except UserError as error:
        write_atomically(folder / REASON, str(error).encode())
        _leave(error.exit_code)
    except Exception as error:
        # Whoever was lost is to say why.
        if not lost_the_others(error):
            traceback.print_exc()
        _leave(1)


def _leave(code: int) -> NoReturn:
    """Exit without the handlers that would wait for the other processes."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _nothing(_: str) -> None:
    pass


if __name__ == "__main__":
    main(Path(sys.argv[1]))
