"""Stores of photographs: they return what was stored, are made once, and name damage."""

from __future__ import annotations

import errno
import io
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image
from tqdm import tqdm

from tests.data.flat import IDS, flatten, write_devkit, write_kaggle
from ttq_repro.data.prepare import StoreRequest, open_store, prepare, survey
from ttq_repro.data.store import INDEX, ImageStore, StoredFormat
from ttq_repro.errors import DataError, UserError
from ttq_repro.files import write_atomically
from ttq_repro.runs.config import compose_config

STORED_AS = StoredFormat(32, 90)

pytestmark = pytest.mark.usefixtures("prepare_in_threads")


@pytest.fixture
def wanted(photographs: Path, tmp_path: Path) -> StoreRequest:
    return StoreRequest(photographs, "mine", 3, STORED_AS, tmp_path / "cache")


def decoded(jpeg: bytes) -> Image.Image:
    return Image.open(io.BytesIO(jpeg))


def parts(store: Path) -> dict[str, int]:
    """The modification time of each file of a store."""
    return {
        str(path.relative_to(store)): path.stat().st_mtime_ns
        for path in store.rglob("*.safetensors")
    }


def test_stores_every_photograph_with_its_label(wanted: StoreRequest) -> None:
    store = open_store(wanted)
    assert store.classes == ("n01", "n02", "n03")
    assert store.counts == {"train": 18, "val": 6}
    train = store.split("train")
    assert train.labels.tolist() == [0] * 6 + [1] * 6 + [2] * 6
    for index, label in enumerate(train.labels):
        image = decoded(train[index])
        assert min(image.size) == 32
        assert image.size in {(32, 43), (48, 32)}, "the aspect ratio stays"
        brightness = np.asarray(image.convert("RGB")).mean()
        assert abs(brightness - (35 + 90 * label)) < 6, "CMYK and grey-scale included"


def test_statistics_are_those_of_the_stored_training_photographs(wanted: StoreRequest) -> None:
    split = open_store(wanted).split("train")
    pixels = [np.asarray(decoded(split[i]).convert("RGB")).reshape(-1, 3) for i in range(18)]
    mean, std = split.channel_statistics()
    # The stored pixels went through JPEG once more than those that the statistics count.
    np.testing.assert_allclose(mean, np.concatenate(pixels).mean(0) / 255, atol=0.004)
    np.testing.assert_allclose(std, np.concatenate(pixels).std(0) / 255, atol=0.01)


def test_small_photographs_stay_as_they_are(wanted: StoreRequest, photographs: Path) -> None:
    prepare(wanted)
    large = StoreRequest(photographs, "mine", 3, StoredFormat(500, 10), wanted.cache)
    train = open_store(large).split("train")
    files = sorted((photographs / "train" / "n01").iterdir())
    assert train[0] == files[0].read_bytes()
    assert train[2] == files[2].read_bytes()
    assert decoded(train[1]).mode == "RGB", "CMYK is converted all the same"


def test_a_store_is_made_once(wanted: StoreRequest) -> None:
    first = prepare(wanted)
    before = parts(first)
    assert prepare(wanted) == first
    assert parts(first) == before
    assert len(before) == 6


def test_a_store_of_another_version_is_made_anew(
    wanted: StoreRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = parts(prepare(wanted))
    for module in ("store", "parts", "prepare"):
        monkeypatch.setattr(f"ttq_repro.data.{module}.FORMAT", 10**6)
    anew = parts(prepare(wanted))
    assert anew.keys() == made.keys()
    assert all(anew[part] > made[part] for part in made)


def test_an_unreadable_photograph_is_named_and_the_rest_is_kept(
    wanted: StoreRequest, photographs: Path
) -> None:
    truncated = photographs / "train" / "n02" / "n02_3.JPEG"
    truncated.write_bytes(truncated.read_bytes()[:400])
    overwritten = photographs / "val" / "n03" / "n03_1.JPEG"
    overwritten.write_bytes(b"nothing")
    with pytest.raises(DataError) as caught:
        prepare(wanted)
    named = str(caught.value).split("; ")
    assert len(named) == 2
    assert named[0].startswith(f"{truncated}: not a readable image (")
    assert named[1] == f"{overwritten}: not a readable image (of no known format)"
    assert set(parts(wanted.cached_store(photographs))) == {
        f"{split}/{name}.safetensors"
        for split, names in (("train", ("n01", "n03")), ("val", ("n01", "n02")))
        for name in names
    }


def test_an_unreadable_photograph_takes_nothing(wanted: StoreRequest, photographs: Path) -> None:
    whole = survey(wanted).cost.bytes
    victim = photographs / "train" / "n02" / "n02_3.JPEG"
    victim.write_bytes(victim.read_bytes()[:400])
    assert 0.9 * whole < survey(wanted).cost.bytes < whole


def test_deep_greys_are_stored_as_they_look(wanted: StoreRequest, photographs: Path) -> None:
    grey = np.full((50, 50), 64 * 256, np.uint16)
    Image.fromarray(grey).save(photographs / "train" / "n01" / "a.png")
    stored = decoded(open_store(wanted).split("train")[0])
    assert abs(np.asarray(stored).mean() - 64) < 2


@pytest.mark.parametrize("short_side", [20, 500])
def test_photographs_are_stored_upright(
    short_side: int, wanted: StoreRequest, photographs: Path
) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    lying = Image.new("L", (60, 40))
    lying.paste(255, (0, 0, 30, 40))
    lying.save(photographs / "train" / "n01" / "a.jpg", exif=exif)
    request = StoreRequest(photographs, "mine", 3, StoredFormat(short_side, 90), wanted.cache)
    stored = np.asarray(decoded(open_store(request).split("train")[0]).convert("L"), np.int64)
    height, width = stored.shape
    assert height > width
    assert stored[: height // 3].min() > 200
    assert stored[-height // 3 :].max() < 50


def test_a_photograph_too_long_for_a_jpeg_is_named(wanted: StoreRequest, photographs: Path) -> None:
    Image.new("RGB", (70_000, 32)).save(photographs / "train" / "n01" / "long.png")
    with pytest.raises(DataError, match=r"n01/long\.png: .*70000x32 pixels, more than a JPEG"):
        prepare(wanted)


def test_goes_on_from_what_is_there(wanted: StoreRequest, photographs: Path) -> None:
    victim = photographs / "val" / "n03" / "n03_1.JPEG"
    whole = victim.read_bytes()
    store = wanted.cached_store(photographs)
    victim.unlink()
    (photographs / "val" / "n03" / "n03_0.JPEG").rename(victim)
    prepare(wanted)
    before = parts(store)
    (store / INDEX).unlink()
    victim.rename(photographs / "val" / "n03" / "n03_0.JPEG")
    victim.write_bytes(whole)
    prepare(wanted)
    after = parts(store)
    assert [name for name in after if after[name] != before[name]] == ["val/n03.safetensors"]
    assert ImageStore(store).counts == {"train": 18, "val": 6}


def test_a_new_photograph_is_noticed(wanted: StoreRequest, photographs: Path) -> None:
    prepare(wanted)
    Image.new("RGB", (50, 50)).save(photographs / "train" / "n01" / "new.png")
    assert open_store(wanted).counts == {"train": 19, "val": 6}


@pytest.mark.parametrize("corrected", ["Kaggle's file", "the list", "the table of classes"])
def test_corrected_labels_are_noticed(
    wanted: StoreRequest, photographs: Path, corrected: str
) -> None:
    truth = flatten(photographs)
    swapped = {"n01": "n02", "n02": "n01", "n03": "n03"}
    other = {image: swapped[name] for image, name in truth.items()}

    def stored(truth: dict[str, str], ids: dict[str, int] = IDS) -> list[bytes]:
        if corrected == "Kaggle's file":
            write_kaggle(photographs, truth)
        else:
            write_devkit(photographs, [IDS[name] for name in truth.values()], ids)
        val = open_store(wanted).split("val")
        return [val[index] for index in range(6)]

    before = stored(truth)
    if corrected == "the table of classes":
        after = stored(truth, {swapped[name]: number for name, number in IDS.items()})
    else:
        after = stored(other)
    assert after == before[2:4] + before[:2] + before[4:]


def test_too_small_a_disk_is_said_beforehand(
    wanted: StoreRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 900

    monkeypatch.setattr("ttq_repro.data.prepare.shutil.disk_usage", lambda _: Usage)
    with pytest.raises(DataError, match=r"needs up to \d+\.\d kB, but only 900 bytes"):
        prepare(wanted)
    assert not list(wanted.cache.rglob("*.safetensors"))


def test_a_disk_that_is_full_all_the_same_is_named_and_finished_classes_stay(
    wanted: StoreRequest, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(path: Path, content: bytes) -> None:
        if path.name.startswith("n03"):
            raise OSError(errno.ENOSPC, "No space left on device")
        write_atomically(path, content)

    monkeypatch.setattr("ttq_repro.data.parts.write_atomically", write)
    monkeypatch.setattr("ttq_repro.data.parts.cores", lambda: 1)
    with pytest.raises(DataError) as caught:
        prepare(wanted)
    assert str(caught.value) == f"{wanted.cache}: No space left on device"
    finished = set(parts(wanted.cached_store(photographs)))
    assert finished >= {"train/n01.safetensors", "train/n02.safetensors"}
    assert not any("n03" in part for part in finished)


@pytest.mark.parametrize(
    ("below", "why"), [("", "File exists"), ("x", "Not a directory"), ("x/y", "Not a directory")]
)
def test_a_store_that_cannot_be_there_is_named(
    wanted: StoreRequest, tmp_path: Path, below: str, why: str
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=rf"{tmp_path / 'file'}\S*: {why}"):
        prepare(wanted, tmp_path / "file" / below)


@pytest.mark.parametrize("step", [prepare, survey])
def test_a_folder_that_cannot_be_read_is_named(
    step: Callable[[StoreRequest], object], wanted: StoreRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simulated, because file permissions do not stop root, who may run the tests."""
    listed = Path.iterdir

    def iterdir(folder: Path) -> Iterator[Path]:
        if folder.name == "n02":
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return listed(folder)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    with pytest.raises(DataError, match=r"/train/n02: Permission denied$"):
        step(wanted)


def test_the_rate_is_that_of_what_is_still_to_be_stored(
    wanted: StoreRequest, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(wanted)
    Image.new("RGB", (50, 50)).save(photographs / "train" / "n01" / "new.png")
    bars: list[tqdm] = []
    monkeypatch.setattr(
        "ttq_repro.data.parts.tqdm", lambda **options: bars.append(tqdm(**options)) or bars[-1]
    )
    prepare(wanted)
    assert [(bar.initial, bar.n, bar.total) for bar in bars] == [(18, 25, 25)]


def test_a_class_that_is_no_more_leaves_nothing(wanted: StoreRequest, photographs: Path) -> None:
    store = prepare(wanted)
    for split in ("train", "val"):
        shutil.rmtree(photographs / split / "n02")
    (store / "train" / "mine.safetensors").write_bytes(b"of the user's")
    prepare(replace(wanted, num_classes=2))
    assert set(parts(store)) == {
        f"{split}/{name}.safetensors" for split in ("train", "val") for name in ("n01", "n03")
    } | {"train/mine.safetensors"}


def test_the_survey_tells_what_it_will_take(wanted: StoreRequest) -> None:
    planned = survey(wanted)
    assert not planned.done
    assert planned.images == {"train": 18, "val": 6}
    assert not list(wanted.cache.rglob("*"))
    store = open_store(wanted)
    content = sum(len(store.split(s)[i]) for s, count in store.counts.items() for i in range(count))
    assert planned.cost.bytes == content, "all of so few photographs are the sample"
    made = survey(wanted)
    assert made.done
    assert made.path == planned.path == store.root
    assert made.cost.bytes == store.bytes >= content


def test_the_survey_counts_parts_that_are_out_of_date(
    wanted: StoreRequest, photographs: Path
) -> None:
    whole = survey(wanted).cost.bytes
    prepare(wanted)
    folder = photographs / "train" / "n01"
    (folder / "n_new.JPEG").write_bytes(next(folder.iterdir()).read_bytes())
    assert 0 < survey(wanted).cost.bytes < whole, "the other parts are kept"
    for split in ("train", "val"):
        for folder in sorted((photographs / split).iterdir()):
            (folder / "n_newer.JPEG").write_bytes(next(folder.iterdir()).read_bytes())
    assert survey(wanted).cost.bytes > whole


@pytest.mark.parametrize("option", ["short_side=0", "quality=101"])
def test_a_format_that_cannot_be_is_named(option: str, tmp_path: Path) -> None:
    node = compose_config("train", ["data=imagenette", f"data.{option}"])["data"]
    with pytest.raises(UserError, match=rf"^data\.{option}: must be a whole number from 1"):
        StoreRequest.of(node, tmp_path)


def test_a_killed_process_is_named(wanted: StoreRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise BrokenProcessPool("terminated abruptly")

    monkeypatch.setattr("ttq_repro.data.prepare.make_parts", killed)
    with pytest.raises(DataError, match=r"a process .* was killed, perhaps for lack of memory$"):
        prepare(wanted)


def test_a_store_can_be_given_in_place_of_the_photographs(
    wanted: StoreRequest, tmp_path: Path
) -> None:
    store = prepare(wanted, tmp_path / "elsewhere" / "mine")
    for root in (store, store.parent):
        given = StoreRequest(root, "mine", 3, STORED_AS, tmp_path / "unused")
        assert open_store(given).root == store
    assert not (tmp_path / "unused").exists()


@pytest.mark.parametrize("step", [prepare, survey])
@pytest.mark.parametrize("inside", ["", "train", "val/n01"])
def test_a_store_among_the_photographs_is_refused(
    inside: str,
    step: Callable[[StoreRequest, Path], object],
    wanted: StoreRequest,
    photographs: Path,
) -> None:
    """It would be taken for all photographs there are, now and later."""
    store = photographs / inside
    before = sorted(photographs.rglob("*"))
    with pytest.raises(UserError, match=rf"^store={store}: holds the photographs; choose another"):
        step(wanted, store)
    assert sorted(photographs.rglob("*")) == before


def test_a_store_among_photographs_elsewhere_is_refused(
    wanted: StoreRequest, photographs: Path, tmp_path: Path
) -> None:
    """The folder of a split may be a link to another disk."""
    elsewhere = tmp_path / "elsewhere"
    (photographs / "train").rename(elsewhere)
    (photographs / "train").symlink_to(elsewhere)
    for store in (photographs / "train", elsewhere / "n01"):
        with pytest.raises(UserError, match="holds the photographs; choose another"):
            prepare(wanted, store)


@pytest.mark.parametrize("step", [prepare, survey])
def test_a_store_of_a_store_is_refused(
    step: Callable[[StoreRequest, Path], object], wanted: StoreRequest, tmp_path: Path
) -> None:
    given = replace(wanted, root=prepare(wanted))
    says = rf"^store={tmp_path}/other: data\.root={given.root} already holds a store, {given.root}$"
    with pytest.raises(UserError, match=says):
        step(given, tmp_path / "other")
    assert not (tmp_path / "other").exists()
    step(given, given.root)


@pytest.mark.parametrize("step", [open_store, prepare, survey])
def test_a_store_has_to_be_as_the_config_says(
    step: Callable[[StoreRequest], object], wanted: StoreRequest
) -> None:
    store = prepare(wanted)
    says = r"mine-\w+: stored with short side 32, quality 90, but data asks for short side 99, qu"
    with pytest.raises(DataError, match=says):
        step(replace(wanted, root=store, stored_as=StoredFormat(99, 90)))
    for root in (store, wanted.root):
        with pytest.raises(DataError, match=r": 3 classes, but data\.num_classes=4"):
            step(replace(wanted, root=root, num_classes=4))


def flip_bit(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_a_flipped_bit_in_a_photograph_is_found(wanted: StoreRequest) -> None:
    store = open_store(wanted)
    path = store.root / "train" / "n02.safetensors"
    jpeg = store.split("train")[8]
    flip_bit(path, path.read_bytes().index(jpeg) + len(jpeg) // 2)
    train = store.split("train")
    assert train[7]
    with pytest.raises(DataError, match=r"n02\.safetensors: damaged \(photograph 2\)"):
        train[8]


def test_a_flipped_bit_in_an_index_is_found(wanted: StoreRequest) -> None:
    store = open_store(wanted)
    ends = np.cumsum([len(store.split("val")[i]) for i in range(2)]).tobytes()
    path = store.root / "val" / "n01.safetensors"
    flip_bit(path, path.read_bytes().index(ends))
    with pytest.raises(DataError, match=r"val/n01\.safetensors: damaged \(its index\)"):
        store.split("val")


def test_a_truncated_part_is_named(wanted: StoreRequest) -> None:
    store = open_store(wanted)
    path = store.root / "train" / "n03.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"n03\.safetensors: damaged"):
        store.split("train")


def test_a_damaged_list_is_made_again(wanted: StoreRequest) -> None:
    store = open_store(wanted)
    (store.root / INDEX).write_text("{")
    before = parts(store.root)
    assert open_store(wanted).counts == store.counts
    assert parts(store.root) == before
