"""results/README.md: what lies where, and the verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ttq_repro.files import write_atomically
from ttq_repro.report.claims_table import claims_table, summary
from ttq_repro.report.ledger import Judgement
from ttq_repro.report.page import read_figures, read_tables
from ttq_repro.report.run_list import RunList

HEAD = """# Results

Written by `make report` from the records alone; do not edit. [`report.html`](report.html) shows all
of it on one page that needs no network.

| folder | holds |
| --- | --- |
| `records/` | {records}, one JSON file a run: config, commit, hardware, metrics by epoch |
| `checkpoints/` | networks that other runs start from, and packed ternary ones |
| `tables/`, `figures/` | drawn from the records |
| `benchmarks/` | sizes, speed and endurance, as measured |

"""


def write_index(home: Path, judgements: Sequence[Judgement], runs: RunList) -> None:
    """Write ``README.md`` into ``home``."""
    count = len(runs)
    text = HEAD.format(records=f"{count} record{'' if count == 1 else 's'}")
    drawn = [
        *(f"- [{name}](tables/{name}.md)" for name in read_tables(home / "tables")),
        # A paragraph of its own would end the list.
        *(f"- {f.name}: {' '.join(f.caption.split())}" for f in read_figures(home / "figures")),
        *(f"- [{name}](benchmarks/{name}.md)" for name in read_tables(home / "benchmarks")),
    ]
    verdicts = claims_table(judgements).markdown()
    text += "\n".join([*drawn, "", "## Verdicts", "", f"{summary(judgements)}.", "", verdicts])
    write_atomically(home / "README.md", text.encode())
