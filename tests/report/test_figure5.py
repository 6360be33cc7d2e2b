import pytest
from matplotlib.container import ErrorbarContainer

from tests.cells import cells, put
from tests.report.plain_records import LAYERS, trained
from ttq_repro.report.figure5 import figure5, plot
from ttq_repro.report.seeds import CellRecords
from ttq_repro.runs.cell import Cell
from ttq_repro.runs.record import Record
from ttq_repro.runs.workspace import Workspace

#: One layer has as many weights as the eighteen others together.
SIZES = [
    {"layer": name, "quantize": True, "reason": "", "weights": 18 if name == "linear" else 1}
    for name in LAYERS
]


def sparse(cell: Cell, seed: int, zero: float, error: float, **fields: object) -> Record:
    """A record whose last layer has a share ``zero`` of zeros, and all others none."""
    start = [0.9] * (cell.run.epochs - 1)
    layers = {name: {"zero": [*start, zero if name == "linear" else 0]} for name in LAYERS}
    return trained(cell, seed, error, **({"layers": layers, "decisions": SIZES} | fields))


def by_title() -> dict[str, Cell]:
    return {cell.labels["title"]: cell for cell in cells("figure5")}


def test_points_stand_at_the_sparsity_they_reached() -> None:
    planned = by_title()
    found = [
        CellRecords(planned["full precision"], {1: trained(planned["full precision"], 1, 0.08)}),
        CellRecords(planned["r = 0.2"], {1: sparse(planned["r = 0.2"], 1, 0.4, 0.10)}),
        CellRecords(
            planned["t = 0.05"],
            {
                1: sparse(planned["t = 0.05"], 1, 0.6, 0.10),
                2: sparse(planned["t = 0.05"], 2, 0.8, 0.12),
            },
        ),
    ]
    test, training = plot(found).axes
    for axes, factor in ((test, 1), (training, 0.5)):
        constant, threshold = (c for c in axes.containers if isinstance(c, ErrorbarContainer))
        assert constant.lines[0].get_xydata()[0] == pytest.approx([20, 10 * factor])
        assert threshold.lines[0].get_xydata()[0] == pytest.approx([35, 11 * factor])
        bars = [bar.get_segments()[0] for bar in threshold.lines[2]]
        assert bars[0][:, 0] == pytest.approx([35 - 50**0.5, 35 + 50**0.5])
        assert bars[1][:, 1] == pytest.approx([(11 - 2**0.5) * factor, (11 + 2**0.5) * factor])
        assert axes.lines[0].get_ydata() == pytest.approx([8 * factor] * 2)
        assert [text.get_text() for text in axes.texts] == [".05"]
        # Nothing was measured between points.
        assert [bars.lines[0].get_linestyle() for bars in (constant, threshold)] == [":", "None"]
        # One seed has no s.d., neither in the panel nor in the legend.
        assert [bars.has_yerr for bars in (constant, threshold)] == [False, True]
        (spread,) = axes.patches
        red, green, blue, _ = spread.get_facecolor()
        assert not red == green == blue, "the bands of s.d. are grey"


def test_a_point_from_another_parent_is_left_out_and_named(workspace: Workspace) -> None:
    planned = by_title()
    parent = planned["full precision"]
    put(workspace, parent, trained(parent, 1, weights_sha256="now"))
    for title, weights in (("r = 0.2", "now"), ("r = 0.4", "before")):
        mother = {"identity": parent.run.identity, "weights_sha256": weights}
        put(workspace, planned[title], sparse(planned[title], 1, 0.4, 0.1, parent=mother))
    with pytest.warns(UserWarning, match="resnet20-ttq_sparsity-.* is left out"):
        text = figure5(list(planned.values()), workspace).markdown()
    assert "n = 1: full precision, r = 0.2." in text
    assert "Left out: a run of r = 0.4; to train it again, delete `results/records/" in text


def test_eight_sparsities_and_the_paper_threshold_are_planned() -> None:
    planned = by_title()
    sparsities = [
        cell.run.config["quantizer"]["sparsity"]
        for cell in planned.values()
        if cell.labels["series"] == "sparsity"
    ]
    assert sparsities == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    for title, cell in planned.items():
        symbol, _, value = title.partition(" = ")
        if value:
            key = {"r": "sparsity", "t": "threshold"}[symbol]
            assert cell.run.config["quantizer"][key] == float(value)


def put_beside_parent(workspace: Workspace, seed: int) -> Cell:
    """Write the parent at seeds 1 and 2, and the returned child at one seed."""
    planned = by_title()
    parent, child = planned["full precision"], planned["r = 0.2"]
    put(workspace, parent, *(trained(parent, of_parent, 0.08) for of_parent in (1, 2)))
    put(workspace, child, sparse(child, seed, 0.4, 0.10))
    return child


def test_only_seeds_that_all_have_are_drawn(workspace: Workspace) -> None:
    child = put_beside_parent(workspace, 1)
    text = figure5(cells("figure5"), workspace).markdown()
    assert "n = 1: full precision, r = 0.2." in text
    assert "n = 2" not in text
    assert "s.d." not in text
    assert "Seeds other than 1, which not all have, are left out of full precision." in text
    put(workspace, child, sparse(child, 2, 0.4, 0.10))
    text = figure5(cells("figure5"), workspace).markdown()
    assert "means ± s.d. over the seeds" in text
    assert "left out" not in text


def test_the_caption_says_if_points_share_no_seed(workspace: Workspace) -> None:
    put_beside_parent(workspace, 3)
    text = figure5(cells("figure5"), workspace).markdown()
    assert "each over its own seeds, as no seed is common to all." in text
    assert "n = 2: full precision. n = 1: r = 0.2." in text
