"""How image files are read, and the errors about files that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ttq_repro.errors import DataError
from ttq_repro.pictures import opened, rgb


def test_sixteen_bits_of_grey_become_eight(tmp_path: Path) -> None:
    levels = np.array([[0, 255, 256, 128 * 256, 65535]], np.uint16)
    Image.fromarray(levels).save(tmp_path / "deep.png")
    with opened(tmp_path / "deep.png") as image:
        pixels = np.asarray(rgb(image))
    assert pixels.tolist() == [[[level] * 3 for level in (0, 0, 1, 128, 255)]]


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_pixels_without_a_white_are_refused(kind: type, tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 1000, kind)).save(tmp_path / "deep.png", "TIFF")
    refused = pytest.raises(DataError, match=r"deep\.png: .*its pixels are 32-bit numbers")
    with refused, opened(tmp_path / "deep.png") as image:
        rgb(image)


@pytest.mark.parametrize(
    ("content", "why"), [(b"", "of no known format"), (None, "No such file or directory")]
)
def test_an_error_names_the_file_once(content: bytes | None, why: str, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as caught, opened(path):
        pass
    assert str(caught.value) == f"{path}: not a readable image ({why})"
