"""Table 2: error of AlexNet-BN on ImageNet, by method."""

from __future__ import annotations

from pathlib import Path

from ttq_repro.paper.reported import TABLE2
from ttq_repro.report.captions import file_name
from ttq_repro.report.imagenet_errors import WHAT, errors_table
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.workspace import Workspace

CAPTION = (
    f"Table 2: AlexNet with batch norm, {WHAT} All networks start from random weights; the first "
    "convolution and the last layer stay float. The paper quotes full precision at 42.8 here and, "
    "from DoReFa-Net, at 44.1 in its text."
)


def render(cells: list[Cell], workspace: Workspace, home: Path) -> str:
    """Draw the table from the records of ``workspace``, write it below ``home``, return it."""
    table = errors_table(CAPTION, TABLE2, cells, workspace)
    return table.publish(home, file_name("table2", cells[0]))
