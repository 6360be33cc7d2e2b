import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttq_repro.data.augmentation import Augmentation, ScaledCrop, SquareCrop, View, center_crop

SIDES = st.integers(20, 700)
AUGMENTATIONS = [SquareCrop(), ScaledCrop()]


def draw(augmentation: Augmentation, height: int, width: int, count: int = 400) -> list[View]:
    random = np.random.default_rng(0)
    return [augmentation(height, width, 224, random) for _ in range(count)]


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
@settings(deadline=None)
@given(height=SIDES, width=SIDES, seed=st.integers(0, 99))
def test_views_lie_inside_the_photograph(
    augmentation: Augmentation, height: int, width: int, seed: int
) -> None:
    view = augmentation(height, width, 224, np.random.default_rng(seed))
    assert 0 <= view.top < view.top + view.height <= height
    assert 0 <= view.left < view.left + view.width <= width


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_half_of_the_photographs_are_mirrored(augmentation: Augmentation) -> None:
    assert 0.4 < np.mean([view.mirrored for view in draw(augmentation, 256, 300)]) < 0.6
    still = type(augmentation)(flip=False)
    assert not any(view.mirrored for view in draw(still, 256, 300))


def test_the_papers_crop_at_its_own_size_is_any_window_of_224() -> None:
    views = draw(SquareCrop(), 256, 256, 2000)
    assert {(view.height, view.width) for view in views} == {(224, 224)}
    for offsets in ([view.top for view in views], [view.left for view in views]):
        assert set(offsets) == set(range(33))


def test_the_papers_crop_gives_up_the_aspect_ratio() -> None:
    for view in draw(SquareCrop(), 256, 512):
        assert (view.height, view.width) == (224, 448)
        assert view.left % 2 == 0


def test_the_released_crop_spans_its_scales_and_stretches() -> None:
    views = draw(ScaledCrop(), 308, 308, 4000)
    # 308 pixels are resized to 224 to 307 and stretched by up to 15%, so that the crop of 224
    # covers from 224/1.15 of them to all.
    heights = np.array([view.height for view in views])
    assert heights.min() in range(194, 202)
    assert heights.max() == 308
    ratios = np.array([view.width / view.height for view in views])
    assert 0.74 <= ratios.min() < 0.8
    assert 1.25 < ratios.max() <= 1.36


def test_the_released_crop_stops_short_of_its_largest_scale() -> None:
    still = ScaledCrop(smallest=224, largest=225, stretch=0)
    assert {(view.height, view.width) for view in draw(still, 224, 224)} == {(224, 224)}


def test_evaluation_takes_the_centre() -> None:
    assert center_crop(256, 256) == (16, 16, 224, 224, False)
    assert center_crop(256, 341) == (16, 58, 224, 224, False)
    assert center_crop(224, 224) == (14, 14, 196, 196, False)
