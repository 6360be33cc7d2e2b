"""results/report.html: one self-contained page that needs neither network nor scripts."""

from __future__ import annotations

import base64
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from ttq_repro.files import write_atomically
from ttq_repro.paper.claims import SUBJECTS
from ttq_repro.report.artifact_files import in_order
from ttq_repro.report.claims_table import (
    answer,
    basis,
    our_number,
    paper_number,
    subject_table,
)
from ttq_repro.report.doc_sections import difference_table
from ttq_repro.report.interval_strip import strip
from ttq_repro.report.ledger import Judgement
from ttq_repro.report.run_list import RunList
from ttq_repro.runs.run import PAPERS_DATASETS
from ttq_repro.table import Table

#: The table left out of the page's list of tables, as the page opens with the claims.
CLAIMS_TABLE = "claims"
TYPES = {".svg": "image/svg+xml", ".png": "image/png"}


class EmbeddedFigure(NamedTuple):
    """An image as a data URL, and its caption in Markdown."""

    name: str
    address: str
    caption: str


class Files(NamedTuple):
    """What the page shows of the files in results/."""

    tables: dict[str, Table]
    figures: list[EmbeddedFigure]
    benchmarks: dict[str, Table]


def write_page(
    home: Path,
    judgements: Sequence[Judgement],
    runs: RunList,
    files: Files,
    not_run: Sequence[str],
    problems: Sequence[str],
) -> Path:
    """Write ``report.html`` into ``home``.

    Args:
        files: those of :func:`read_files`.
        not_run: what cannot be drawn because none of its runs exist, one line each.
        problems: what could not be read or drawn, one line each.
    """
    environment = Environment(
        loader=PackageLoader("ttq_repro.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"markdown": markdown, "strip": strip, "basis": basis}
    environment.filters |= {"title_of": title, "alt": alternative}
    environment.filters |= {"paper": paper_number, "ours": our_number}
    by_id = {judgement.claim.id: judgement for judgement in judgements}
    page = environment.get_template("page.html.jinja").render(
        subjects={
            subject: [by_id[claim.id] for claim in claims] for subject, claims in SUBJECTS.items()
        },
        answer=answer(judgements),
        counts=subject_table(judgements),
        **files._asdict(),
        differences=difference_table(),
        runs=runs,
        papers_datasets=PAPERS_DATASETS,
        not_run=not_run,
        problems=problems,
    )
    path = home / "report.html"
    write_atomically(path, page.encode())
    return path


def read_files(home: Path) -> Files:
    """The files below ``home`` that the page shows; warns of those that cannot be read."""
    tables, benchmarks = (read_tables(home / folder) for folder in ("tables", "benchmarks"))
    return Files(tables, read_figures(home / "figures"), benchmarks)


def read_tables(folder: Path) -> dict[str, Table]:
    """The tables of a folder by name."""
    tables = {}
    for name in (path.stem for path in in_order(folder.glob("*.csv"))):
        if name == CLAIMS_TABLE:
            continue
        try:
            tables[name] = Table.read(folder, name)
        except ValueError as error:
            warnings.warn(f"skipped {error}")
    return tables


def read_figures(folder: Path) -> list[EmbeddedFigure]:
    """The figures of a folder, each from its smaller file, SVG or PNG."""
    figures = []
    drawn = in_order(path for path in folder.glob("*") if path.suffix in TYPES)
    for name in dict.fromkeys(path.stem for path in drawn):
        files = [folder / f"{name}{suffix}" for suffix in TYPES]
        image = min(
            (path for path in files if path.is_file()), key=lambda path: path.stat().st_size
        )
        content = base64.b64encode(image.read_bytes()).decode()
        caption = folder / f"{name}.md"
        figures.append(
            EmbeddedFigure(
                name,
                f"data:{TYPES[image.suffix]};base64,{content}",
                caption.read_text(errors="replace").strip() if caption.is_file() else name,
            )
        )
    return figures


def title(name: str) -> str:
    """A file's name as a heading: ``table1`` becomes ``Table 1``."""
    words = re.sub(r"(?<=[a-z])(?=\d)", " ", re.sub(r"[_-]", " ", name))
    return words[:1].upper() + words[1:]


def alternative(caption: str) -> str:
    """The alternative text of a figure: the first sentence of its caption.

    With the warning in bold before it, if there is one.
    """
    warning, text = re.findall(r"^(\*\*.*?\*\* )?(.*)", caption, re.DOTALL)[0]
    sentence, *_ = re.split(r"(?<!s\.d)\. |\n", text, maxsplit=1)
    return re.sub(r"[`*]", "", warning + sentence)


def markdown(text: str) -> Markup:
    """HTML of the Markdown that our captions and cells use, which is code and bold."""
    marked = str(escape(text))
    marked = re.sub(r"`([^`]+)`", r"<code>\1</code>", marked)
    return Markup(re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", marked))
