import itertools

import pytest

from tests.cells import cells, put
from tests.records import HISTOGRAMS
from tests.report.plain_records import LAYERS, trained
from ttq_repro.errors import NothingToDrawError
from ttq_repro.report.figure1 import chosen_layer, figure1, plot
from ttq_repro.runs.workspace import Workspace


@pytest.fixture
def histograms() -> dict:
    return dict.fromkeys(LAYERS, HISTOGRAMS)


def test_four_stages_before_and_after(histograms: dict) -> None:
    (cell,) = cells("figure1")
    made = trained(cell, 1, histograms=histograms)
    assert chosen_layer(made) == "blocks.4.conv2"
    axes = plot(made, "blocks.4.conv2").axes
    assert len(axes) == 8
    assert [axis.get_ylabel().split("\n")[0] for axis in axes[::4]] == [
        "before training", "after training"
    ]  # fmt: skip
    assert [axis.get_xlabel() for axis in axes] == [""] * 4 + ["weight"] * 4
    shared = [
        below in above.get_shared_x_axes().get_siblings(above)
        for above, below in zip(axes[:4], axes[4:], strict=True)
    ]
    assert shared == [False, True, True, True], "latent weights shrink in training"
    assert {text.xyann for text in axes[7].texts} == {(0, 2)}, "above its bar"
    (latent,) = axes[0].patches
    values, edges, _ = latent.get_data()
    assert values.sum() == pytest.approx(100)
    assert (edges[0], edges[-1]) == pytest.approx((-0.4, 0.4))
    # In the second stage the threshold divides the same weights into three.
    shares = [patch.get_data().values.sum() for patch in axes[1].patches]
    assert shares == pytest.approx([25, 50, 25])
    for column, levels in ((6, [-1, 0, 1]), (7, [-1, 0, 1.75])):
        bars = axes[column].patches
        assert [bar.get_x() + bar.get_width() / 2 for bar in bars] == pytest.approx(levels)
        assert [bar.get_height() for bar in bars] == [25, 50, 25]


def test_its_labels_stay_apart(histograms: dict) -> None:
    (cell,) = cells("figure1")
    figure = plot(trained(cell, 1, histograms=histograms), "linear")
    figure.draw_without_rendering()
    for axes in figure.axes:
        marks = [text for text in axes.get_xticklabels() if text.get_text()]
        for texts in (marks, axes.texts):
            boxes = [text.get_window_extent() for text in texts]
            assert not any(
                one.padded(1).overlaps(other) for one, other in itertools.combinations(boxes, 2)
            )


def test_one_seed_of_the_setting_with_records_is_drawn(
    histograms: dict, workspace: Workspace
) -> None:
    (paper,), (short,) = cells("figure1", "paper"), cells("figure1", "short")
    put(workspace, short, *(trained(short, seed, histograms=histograms) for seed in (2, 3)))
    text = figure1([paper, short], workspace).markdown()
    assert "Layer blocks.4.conv2, seed 2." in text
    assert "n = 1: TTQ" in text
    assert "Budget and precision: short" in text


def test_without_a_record_it_names_the_command(workspace: Workspace) -> None:
    with pytest.raises(NothingToDrawError, match="not run: `make reproduce-figure1 BUDGET=short"):
        figure1(cells("figure1"), workspace)
