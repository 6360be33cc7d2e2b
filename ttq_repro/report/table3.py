"""Table 3: error of ResNet-18B on ImageNet, by method."""

from __future__ import annotations

from pathlib import Path

from ttq_repro.paper.reported import TABLE3
from ttq_repro.report.captions import file_name
from ttq_repro.report.imagenet_errors import WHAT, errors_table
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.workspace import Workspace

CAPTION = (
    f"Table 3: ResNet-18 with shortcuts of type B, {WHAT} TWN starts from full precision, the "
    "others from random weights; TTQ trains by Adam, the others by SGD. The first convolution "
    "and the last layer stay float, except in BWN, which quantizes all layers. The rows that "
    "the paper cites mix networks: its TWN is 1.5 times as wide."
)


def render(cells: list[Cell], workspace: Workspace, home: Path) -> str:
    """Draw the table from the records of ``workspace``, write it below ``home``, return it."""
    table = errors_table(CAPTION, TABLE3, cells, workspace)
    return table.publish(home, file_name("table3", cells[0]))
