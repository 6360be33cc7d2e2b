"""Files are written whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ttq_repro.files import obstacle, remove_leftovers, write_atomically


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "record.json"
    write_atomically(path, b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [*tmp_path.iterdir()] == [path]


def test_what_stands_in_the_way_of_a_file_is_told_beforehand(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing" / "folder")
    assert obstacle(tmp_path / "new" / "folder" / "file") is None
    assert obstacle(tmp_path / "file") is None
    assert obstacle(tmp_path) == "Is a directory"
    for parent in ("file", "nowhere"):
        assert obstacle(tmp_path / parent / "new") == "Not a directory"


def test_what_a_killed_writer_leaves_is_removed_whatever_the_name(tmp_path: Path) -> None:
    path, others = tmp_path / "a[1].json", tmp_path / ".a1.json.0123abcd.tmp"
    (tmp_path / ".a[1].json.0123abcd.tmp").touch()
    for kept in (path, others):
        kept.touch()
    remove_leftovers(path)
    assert {*tmp_path.iterdir()} == {path, others}


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o002, 0o664)])
def test_who_may_read_and_write_a_file_is_for_the_umask_to_say(
    umask: int, mode: int, tmp_path: Path
) -> None:
    path = tmp_path / "new" / "record.json"
    before = os.umask(umask)
    try:
        for content in (b"first", b"second"):
            write_atomically(path, content)
    finally:
        os.umask(before)
    assert path.read_bytes() == b"second"
    assert path.stat().st_mode & 0o777 == mode
    assert list(path.parent.iterdir()) == [path]
