"""The caveats below a table about single runs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cells import cells
from tests.records import record
from ttq_repro.report.caveats import caveats
from ttq_repro.report.seeds import CellRecords

TTQ = cells("ablations")[0]
LEAD = f"{TTQ.labels['title']}, seed {{}} ({TTQ.setting}): "


def of(*seeds: dict[str, Any]) -> list[str]:
    records = {seed: record(seed=seed, **fields) for seed, fields in enumerate(seeds, 1)}
    return caveats([CellRecords(TTQ, records)])


def ending(**scales: list[float]) -> dict[str, Any]:
    """Record fields of a run that ends with these scales, one value per layer."""
    count = len(next(iter(scales.values())))
    layers = {
        f"layer{n}": {name: [1.0, values[n]] for name, values in scales.items()}
        for n in range(count)
    }
    return {"layers": layers, "metrics": {"test_error": [0.1, 0.1]}}


def test_of_a_sound_run_there_is_nothing_to_be_known() -> None:
    sound = ending(positive_scale=[0.01], negative_scale=[2.0])
    assert of(sound | {"provenance": {"dirty": False, "replaces": []}}) == []


@pytest.mark.parametrize("final", [0.12, 0.06])
def test_a_final_epoch_that_is_far_from_the_last_ones(final: float) -> None:
    curve = [0.3] * 140 + [0.09] * 19
    (line,) = of(
        {"metrics": {"test_error": [*curve, final]}}, {"metrics": {"test_error": [*curve, 0.0999]}}
    )
    assert line == (
        LEAD.format(1) + f"the final epoch is an outlier ({100 * final:.2f}; the median of the "
        "last 20 epochs is 9.00)"
    )


def test_scales_that_are_not_positive_are_named() -> None:
    assert of(ending(positive_scale=[1.0, -5.214], negative_scale=[0.0, 1.0])) == [
        LEAD.format(1)
        + "scales not positive at the end: W_n of layer0 (0.00), W_p of layer1 (-5.21)"
    ]


def test_of_many_scales_three_are_named() -> None:
    (line,) = of(ending(positive_scale=[-1.0, -2.0, -3.0, -4.0, -5.0]))
    assert line.endswith(
        "W_p of layer0 (-1.00), W_p of layer1 (-2.00), W_p of layer2 (-3.00) and 2 more"
    )


def test_what_cannot_be_trained_again_from_its_commit() -> None:
    assert of({}, {"provenance": {"dirty": True}}) == [
        LEAD.format(2) + "trained from a checkout with uncommitted changes"
    ]


def test_a_run_in_place_of_another() -> None:
    both = {"dirty": True, "replaces": [{"final": 0.08}, {"final": 0.0812}]}
    assert of({"provenance": both}) == [
        LEAD.format(1) + "trained from a checkout with uncommitted changes; replaces earlier runs "
        "of this seed whose weights were lost (error: 8.00 and 8.12)"
    ]


def test_runs_that_saw_other_images_than_those_beside_them() -> None:
    parent = {"identity": "parent-1", "weights_sha256": "p"}
    before, after = ({"finished": f"2026-11-{day}T08:00:00+00:00"} for day in (28, 29))
    first, second = ({"parent": parent, "provenance": when} for when in (before, after))
    assert of(first, second) == [
        LEAD.format(2) + "did not repeat the order and the crops of the images in their "
        "parent's training; the other runs, until 28 November 2026, did, epoch by epoch"
    ]
    assert of(first, first) == of(second, second) == []
    assert of(first, {"provenance": after}) == [], "it has no parent"


def test_all_processes_that_trained_a_run_count() -> None:
    (line,) = of({"provenance": {"dirty": False, "earlier": [{"dirty": True}]}})
    assert "uncommitted changes" in line
