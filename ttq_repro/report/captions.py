"""What every table and figure says of where it comes from and what it lacks."""

from __future__ import annotations

from ttq_repro.report.seeds import Found
from ttq_repro.runs.cell import Cell

#: What stands in place of a number that no run has given yet.
NOT_RUN = "not run"

#: The data sets of the paper; results on another stand in for one of them.
PAPERS_DATASETS = ("cifar10", "ilsvrc12")


def stand_in(cell: Cell) -> str:
    """What a caption says of results on other data than the paper's; empty for those on its own."""
    if cell.run.is_result and cell.run.dataset in PAPERS_DATASETS:
        return ""
    if cell.run.is_result:
        images = cell.run.config["data"]["images"]
        return (
            f"Not the paper's numbers: {images['train']:,} and {images['val']:,} photographs of "
            f"{cell.run.dataset} stand in for the paper's data set."
        )
    return (
        f"Not the paper's numbers: {cell.run.dataset}, {cell.budget} budget, "
        "a check that everything works."
    )


def file_name(artifact: str, cell: Cell) -> str:
    """What the files of an artifact are called, those of a stand-in apart from the real ones."""
    dataset = cell.run.dataset
    return artifact if dataset in PAPERS_DATASETS else f"{artifact}_{dataset}"


def captioned(caption: str, cell: Cell) -> str:
    """``caption`` in Markdown, behind what a trial says of itself."""
    warning = stand_in(cell)
    return f"**{warning}** {caption}" if warning else caption


def not_run(cell: Cell) -> str:
    """What stands in place of a figure whose runs are missing."""
    return f"{NOT_RUN}: `{cell.command}`"


def how_to_run(cells: list[Cell]) -> str:
    """What to type for the cells of a table that were not run."""
    commands = dict.fromkeys(cell.command for cell in cells)
    return "\n".join(f"- {NOT_RUN}: `{command}`" for command in commands)


def drawn_from(found: list[Found]) -> str:
    """The setting of a figure, the seeds behind each of its series, and what was not run."""
    titles: dict[int, list[str]] = {}
    for one in found:
        titles.setdefault(len(one.records), []).append(one.title)
    missing = titles.pop(0, [])
    sentences = [f"Budget and precision: {found[0].cell.setting}."]
    sentences += [f"n = {n}: {', '.join(titles[n])}." for n in sorted(titles, reverse=True)]
    if missing:
        sentences.append(f"Not run: {', '.join(missing)}; `{found[0].cell.command}` trains them.")
    return " ".join(sentences)
