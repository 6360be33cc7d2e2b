"""How image files are read, and the errors about files that are none."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from ttq_repro.errors import DataError
from ttq_repro.pictures import opened, rgb, upright


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


def test_damage_that_pillow_has_no_error_for_is_named(tmp_path: Path) -> None:
    """A texture whose header says nothing of its pixels."""
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"DDS " + struct.pack("<I", 124) + bytes(120))
    with pytest.raises(DataError, match=r"photo\.jpg: not a readable image \(Unk"), opened(path):
        pass


ARROW = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
MODEL, ORIENTATION = ExifTags.Base.Model, ExifTags.Base.Orientation


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_every_orientation_is_turned_upright(orientation: int, suffix: str, tmp_path: Path) -> None:
    exif, path = Image.Exif(), tmp_path / f"photo.{suffix}"
    exif[ORIENTATION] = orientation
    ARROW.save(path, exif=exif)
    with Image.open(path) as image, opened(path) as again:
        expected = np.asarray(ImageOps.exif_transpose(image))
        assert np.array_equal(np.asarray(upright(again)), expected)


def test_exif_that_cannot_be_read_turns_nothing(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    ARROW.save(path, exif=b"II*\0")
    with opened(path) as image:
        assert np.array_equal(np.asarray(upright(image)), np.asarray(ARROW))


def test_tags_that_cannot_be_written_do_not_matter(tmp_path: Path) -> None:
    """The camera's model as a floating-point number."""
    path = tmp_path / "photo.png"
    model = struct.pack("<HHIf", MODEL, 11, 1, 1.5)
    orientation = struct.pack("<HHII", ORIENTATION, 3, 1, 6)
    directory = struct.pack("<H", 2) + model + orientation + bytes(4)
    ARROW.save(path, exif=b"II*\0" + struct.pack("<I", 8) + directory)
    with opened(path) as image:
        assert np.array_equal(np.asarray(upright(image)), np.rot90(np.asarray(ARROW), -1))
