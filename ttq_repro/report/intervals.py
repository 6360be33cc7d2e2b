"""Means over seeds, their differences, and 95% intervals.

There are two sources of variance. Training: another seed gives another network, so there is one
value per seed and Student's t over n seeds; a single seed has no interval. Test images: all
networks see the same ones, so a difference between networks is taken image by image first, and only
images on which they disagree make it uncertain. Adding the binomial errors of two networks would
ignore that and is done nowhere.

The variance between seeds already includes the effect of a seed on single images. It misses what
all seeds have in common on an image: the covariance of the per-image differences between two seeds.
The half-width of an interval is therefore the root of the sum of squares of two half-widths: t for
the seeds, normal for the images. As a few seeds may lie close together by chance, the variance of
test errors counts at least as much as that of images that vary independently between seeds. Other
quantities, such as scales or shares of zeros, have no such bound.

There is no correction for the number of claims: at 95%, one of 20 true statements may fail.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        value: the mean; count: the number of seeds, 0 for a number that needs none.
        interval: the 95% interval, None for a single seed.
    """

    value: float
    count: int
    interval: tuple[float, float] | None

    @classmethod
    def around(cls, value: float, count: int, half_width: float | None) -> Estimate:
        """An estimate with an interval symmetric around ``value``."""
        interval = None if half_width is None else (value - half_width, value + half_width)
        return cls(value, count, interval)

    def signed(self) -> str:
        """A difference as shown in tables: with its interval, if any, and n."""
        if self.interval is None:
            return f"{self.value:+.2f} (n={self.count})"
        low, high = self.interval
        return f"{self.value:+.2f} [{low:+.2f}, {high:+.2f}] (n={self.count})"


def over_seeds(values: Sequence[float], least_variance: float = 0.0) -> Estimate:
    """The mean of one value per seed.

    Args:
        least_variance: that of the images alone, if the values are shares of images.
    """
    found = np.asarray(values, float)
    half_width = None
    if len(found) > 1:
        half_width = _half_width(max(float(found.var(ddof=1)), least_variance), len(found))
    return Estimate.around(float(found.mean()), len(found), half_width)


def level_over_seeds(per_image: NDArray[np.float64]) -> Estimate:
    """The mean error of one network, for comparison with an error on the same test images.

    Args:
        per_image: one value per test image, of shape (seeds, images).
    """
    return Estimate.around(float(per_image.mean()), len(per_image), _of_seeds(per_image))


def variance_of_share(percent: float, images: int) -> float:
    """The variance of a share of independent images, in percent squared."""
    return percent * (100 - percent) / images


def over_seeds_and_images(per_image: NDArray[np.float64]) -> Estimate:
    """The mean difference between networks, with an interval that covers other test images.

    Args:
        per_image: the difference on each test image, of shape (seeds, images).
    """
    seeds, images = per_image.shape
    half_width = _of_seeds(per_image)
    if half_width is not None:
        variance_of_mean = float(per_image.mean(axis=0).var(ddof=1))
        variance = float(per_image.var(axis=1, ddof=1).mean())
        covariance = max(0.0, (seeds * variance_of_mean - variance) / (seeds - 1))
        normal = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
        half_width = math.hypot(half_width, normal * math.sqrt(covariance / images))
    return Estimate.around(float(per_image.mean()), seeds, half_width)


def difference_of_groups(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> Estimate:
    """The mean of ``ours`` minus that of ``theirs``, for runs that are not paired by seed.

    The interval is Welch's, as the groups may differ in variance and number of seeds; the count is
    the smaller number. It holds for these test images only.

    Args:
        ours, theirs: one value per test image, each of shape (seeds, images).
    """
    value, fewer = float(ours.mean() - theirs.mean()), min(len(ours), len(theirs))
    if fewer < 2:
        return Estimate(value, fewer, None)
    squared = [_variance_of_seeds(group) / len(group) for group in (ours, theirs)]
    if sum(squared) == 0:
        return Estimate(value, fewer, (value, value))
    by_group = zip(squared, (ours, theirs), strict=True)
    freedom = sum(squared) ** 2 / sum(own**2 / (len(group) - 1) for own, group in by_group)
    return Estimate.around(value, fewer, _quantile(freedom) * math.sqrt(sum(squared)))


def _variance_of_seeds(group: NDArray[np.float64]) -> float:
    """The variance of a seed's mean, at least that of images that vary independently."""
    of_images = float(group.var(axis=0, ddof=1).mean()) / group.shape[1]
    return max(float(group.mean(axis=1).var(ddof=1)), of_images)


def _of_seeds(per_image: NDArray[np.float64]) -> float | None:
    """The half-width that the seeds make: Student's t times the standard error of their mean."""
    if len(per_image) < 2:
        return None
    return _half_width(_variance_of_seeds(per_image), len(per_image))


def _half_width(variance: float, seeds: int) -> float:
    return _quantile(seeds - 1) * math.sqrt(variance / seeds)


def _quantile(freedom: float) -> float:
    """The two-sided quantile of Student's t at ``CONFIDENCE``."""
    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))
