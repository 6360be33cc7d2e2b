"""The intervals, against textbook values and their promised coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.records import record
from ttq_repro.paper.rules import Error
from ttq_repro.report import compare
from ttq_repro.report.compare import Outcome
from ttq_repro.report.intervals import (
    difference_of_groups,
    level_over_seeds,
    over_seeds,
    over_seeds_and_images,
)


def test_student_t_over_seeds() -> None:
    estimate = over_seeds([8.0, 9.0, 10.0])
    assert (estimate.value, estimate.count) == (9, 3)
    assert estimate.interval == pytest.approx((9 - 2.4842, 9 + 2.4842), rel=1e-4)


def test_one_seed_has_no_interval() -> None:
    assert over_seeds([8.0]).interval is None
    one = over_seeds_and_images(np.array([[1.0, 0.0, 0.0, -1.0, 0.0]]))
    assert (one.value, one.count, one.interval) == (0, 1, None)


def test_welch_of_two_groups() -> None:
    """The means have variances of 1/3 and 1/12: three degrees of freedom, t = 3.18245."""
    three, four = np.array([[1.0], [2.0], [3.0]]), np.array([[1.0], [1.0], [2.0], [2.0]])
    estimate = difference_of_groups(three, four)
    half_width = 3.18245 * math.sqrt(1 / 3 + 1 / 12)
    assert (estimate.value, estimate.count) == (0.5, 3)
    assert estimate.interval == pytest.approx((0.5 - half_width, 0.5 + half_width), rel=1e-4)
    assert difference_of_groups(three[:1], four).interval is None


def test_groups_whose_seeds_agree_by_chance_are_not_certain() -> None:
    """Two seeds fail on 20 of 1,000 images, none in common: the count has variance 2 * 20 / 2."""
    group = np.zeros((2, 1000))
    group[0, :20] = group[1, 500:520] = 1
    estimate = difference_of_groups(group, np.zeros((2, 1000)))
    # Only one group, of two seeds, has any scatter: one degree of freedom.
    half_width = 12.7062 * math.sqrt(20 / 1000**2 / 2)
    assert estimate.interval == pytest.approx((0.02 - half_width, 0.02 + half_width), rel=1e-4)
    alike = difference_of_groups(np.ones((2, 10)), np.zeros((3, 10)))
    assert alike.interval == (1, 1)


def test_the_interval_of_two_groups_covers_the_truth() -> None:
    """The true difference is 0; at least 95% minus 2 s.d. of 800 intervals cover it."""
    generator = np.random.default_rng(0)
    hard = generator.uniform(size=500) ** 4
    covered = 0
    for _ in range(800):
        groups = [(generator.uniform(size=(n, 500)) < hard).astype(float) for n in (3, 5)]
        interval = difference_of_groups(*groups).interval
        assert interval is not None
        covered += interval[0] <= 0 <= interval[1]
    assert covered / 800 > 0.95 - 2 * math.sqrt(0.95 * 0.05 / 800)


def test_a_level_of_seeds_that_agree_by_chance_is_not_certain() -> None:
    """As above, and one seed that fails on other images alone changes nothing by itself."""
    seeds = np.zeros((2, 1000))
    seeds[0, :20] = seeds[1, 500:520] = 1
    estimate = level_over_seeds(seeds)
    half_width = 12.7062 * math.sqrt(20 / 1000**2 / 2)
    assert (estimate.value, estimate.count) == (0.02, 2)
    assert estimate.interval == pytest.approx((0.02 - half_width, 0.02 + half_width), rel=1e-4)
    assert level_over_seeds(seeds[:1]).interval is None


def test_a_share_of_images_is_not_certain_either() -> None:
    """Top-5 errors of two seeds, without the images behind them."""
    wrong = [Outcome.of(record(seed=seed, test_images=1000)) for seed in (1, 2)]
    by_seed = {one.key.seed: one._replace(values={Error(top=5): 20.0}) for one in wrong}
    estimate = compare.estimate([(1.0, by_seed)], [1, 2], Error(top=5))
    half_width = 12.7062 * math.sqrt(20 * 80 / 1000 / 2)
    assert estimate.interval == pytest.approx((20 - half_width, 20 + half_width), rel=1e-4)


def test_a_level_of_seeds_that_differ_is_students() -> None:
    seeds = np.zeros((3, 100))
    for seed, wrong in enumerate((8, 9, 40)):
        seeds[seed, :wrong] = 100
    level, students = level_over_seeds(seeds), over_seeds([8.0, 9.0, 40.0])
    assert (level.value, level.count) == (pytest.approx(students.value), 3)
    assert level.interval == pytest.approx(students.interval)


def test_images_that_all_seeds_share_widen_the_interval() -> None:
    shared = np.tile(np.random.default_rng(0).choice([-1.0, 0.0, 1.0], 1000), (4, 1))
    estimate = over_seeds_and_images(shared)
    half_width = 1.96 * shared[0].std(ddof=1) / math.sqrt(1000)
    mean = estimate.value
    assert estimate.interval == pytest.approx((mean - half_width, mean + half_width), rel=1e-3)


def test_seeds_that_agree_by_chance_do_not_make_images_certain() -> None:
    """Two seeds with the same mean, each from different images."""
    per_image = np.zeros((2, 1000))
    per_image[0, :20] = per_image[1, 500:520] = 1
    estimate = over_seeds_and_images(per_image)
    half_width = 12.7062 * math.sqrt(20 / 1000**2 / 2)
    assert estimate.value == 0.02
    assert estimate.interval == pytest.approx((0.02 - half_width, 0.02 + half_width), rel=1e-4)


def test_networks_that_are_wrong_on_the_same_images_do_not_differ() -> None:
    assert over_seeds_and_images(np.zeros((3, 100))).interval == (0, 0)


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize(
    ("of_seed", "of_image", "rest"), [(0.1, 0, 1), (0.01, 0.5, 1), (0, 1, 0.01), (0.05, 1, 1)]
)
def test_intervals_cover_the_truth(
    seeds: int, of_seed: float, of_image: float, rest: float
) -> None:
    """The true difference is 0; at least 95% minus 2 s.d. of 800 intervals cover it."""
    generator = np.random.default_rng(seeds)
    covered = 0
    for _ in range(800):
        per_image = (
            generator.normal(0, of_seed, (seeds, 1))
            + generator.normal(0, of_image, (1, 200))
            + generator.normal(0, rest, (seeds, 200))
        )
        low, high = over_seeds_and_images(per_image).interval or (math.inf, math.inf)
        covered += low <= 0 <= high
    assert covered / 800 > 0.95 - 2 * math.sqrt(0.95 * 0.05 / 800)
