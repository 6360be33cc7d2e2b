"""results/README.md: the outcome, and an overview of the files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ttq_repro.files import write_atomically
from ttq_repro.humanize import counted
from ttq_repro.report.artifact_files import in_order
from ttq_repro.report.claims_table import answer, subject_table
from ttq_repro.report.ledger import Judgement
from ttq_repro.report.page import CLAIMS_TABLE, alternative
from ttq_repro.report.run_list import RunList

TEXT = """# Results

Written by `make report` from records, measurements and, where given, the authors' log; do not edit.
[`report.html`](report.html) shows all of it on one page, which works offline.

{answer}
{subjects}
[Every claim](tables/claims.md), with its rule, our number and the verdict.

| folder | holds |
| --- | --- |
| `records/` | {records}, one JSON file per run: config, commit, hardware, metrics by epoch |
| `checkpoints/` | networks that other runs start from, and packed ternary ones |
| `tables/`, `figures/` | drawn from the records |
| `benchmarks/` | sizes, speed and endurance, as measured |
{lists}"""


def write_results_readme(
    home: Path, judgements: Sequence[Judgement], runs: RunList, not_run: Sequence[str]
) -> None:
    """Write ``README.md`` into ``home``.

    Args:
        not_run: what cannot be drawn because none of its runs exist, one line each.
    """
    lists = {
        "Tables": _links(home, "tables"),
        "Figures": [*map(_figure, in_order((home / "figures").glob("*.md")))],
        "Measurements": _links(home, "benchmarks"),
        "Not drawn": [f"- {line}" for line in not_run],
    }
    text = TEXT.format(
        answer=answer(judgements),
        subjects=subject_table(judgements).markdown().lstrip(),
        records=counted(len(runs), "record"),
        lists="".join(
            "\n".join((f"\n## {name}\n", *lines, "")) for name, lines in lists.items() if lines
        ),
    )
    write_atomically(home / "README.md", text.encode())


def _links(home: Path, folder: str) -> list[str]:
    """Links to the tables of a folder, except the claims table, which is linked above.

    With the first sentence of each caption.
    """
    files = in_order((home / folder).glob("*.md"))
    return [
        f"- [{path.stem}]({folder}/{path.name}): {_first_sentence(path)}"
        for path in files
        if path.stem != CLAIMS_TABLE
    ]


def _figure(caption: Path) -> str:
    """Links to a figure and its caption, with the caption's first sentence."""
    image = f"[{caption.stem}](figures/{caption.stem}.png)"
    return f"- {image} ([caption](figures/{caption.name})): {_first_sentence(caption)}"


def _first_sentence(path: Path) -> str:
    return alternative(path.read_text(errors="replace"))
