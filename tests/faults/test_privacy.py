"""By default nothing leaves the machine, and nothing is written outside the stated folders."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import TINY
from ttq_repro.files import CACHE, ROOT

CALLS = (
    "connect,sendto,sendmsg,sendmmsg,"
    "open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2,symlink,symlinkat,link,linkat"
)
CONNECT = re.compile(
    r"^(?:connect|sendto|sendm?msg)\(.*sa_family=(AF_INET6?), .*?\"([0-9a-f.:]+)\""
)
WRITES = [
    re.compile(r'^open(?:at)?\(.*"(/[^"]*)", [^"]*O_(?:WRONLY|RDWR|CREAT)[^"]* = \d'),
    re.compile(r'^(?:creat|mkdir|mkdirat)\(.*"(/[^"]*)"[^"]* = \d'),
    # What is new is the last of two paths.
    re.compile(
        r'^(?:rename|renameat|renameat2|symlink|symlinkat|link|linkat)\(.*"(/[^"]*)"[^"]* = \d'
    ),
]
LOOPBACK = {"127.0.0.1", "::1"}


def written(line: str) -> Path | None:
    """The absolute path, if any, that a line of strace tells to have been written or made."""
    found = next((match for pattern in WRITES if (match := pattern.search(line))), None)
    return Path(found[1]) if found else None


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ('openat(AT_FDCWD, "/a", O_RDONLY|O_CLOEXEC) = 3', None),
        ('openat(AT_FDCWD, "/a", O_WRONLY|O_CREAT|O_TRUNC, 0666) = 3', "/a"),
        ('openat(AT_FDCWD, "/a", O_WRONLY|O_CREAT, 0666) = -1 EACCES (Permission denied)', None),
        ('open("/a", O_RDWR) = 12', "/a"),
        ('creat("/a", 0666) = 3', "/a"),
        ('mkdir("/a", 0777) = 0', "/a"),
        ('mkdir("/a", 0777) = -1 EEXIST (File exists)', None),
        ('mkdirat(AT_FDCWD, "/a", 0777) = 0', "/a"),
        ('rename("/a", "/b") = 0', "/b"),
        ('rename("/a", "/b") = -1 ENOENT (No such file or directory)', None),
        ('renameat(AT_FDCWD, "/a", AT_FDCWD, "/b") = 0', "/b"),
        ('renameat2(AT_FDCWD, "/a", AT_FDCWD, "/b", RENAME_NOREPLACE) = 0', "/b"),
        ('symlink("/a", "/b") = 0', "/b"),
        ('symlink("a", "/b") = 0', "/b"),
        ('symlink("/a", "b") = 0', None),
        ('symlinkat("/a", AT_FDCWD, "/b") = 0', "/b"),
        ('link("/a", "/b") = 0', "/b"),
        ('linkat(AT_FDCWD, "/a", AT_FDCWD, "/b", 0) = 0', "/b"),
    ],
)
def test_a_line_tells_what_was_written(line: str, path: str | None) -> None:
    assert written(line) == (Path(path) if path else None)


@pytest.mark.parametrize(
    ("line", "address"),
    [
        ('connect(3, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("1.1.1.1")}, 16) '
            "= -1 EINPROGRESS (Operation now in progress)", "1.1.1.1"),
        ("connect(3, {sa_family=AF_INET6, sin6_port=htons(80), sin6_flowinfo=htonl(0), "
            'inet_pton(AF_INET6, "::1", &sin6_addr), sin6_scope_id=0}, 28) = 0', "::1"),
        ('connect(3, {sa_family=AF_UNIX, sun_path="/run/nscd/socket"}, 110) = 0', None),
        ('sendto(3, "x", 1, 0, {sa_family=AF_INET, sin_port=htons(53), '
            'sin_addr=inet_addr("1.1.1.1")}, 16) = 1', "1.1.1.1"),
        ("sendmsg(3, {msg_name={sa_family=AF_INET, sin_port=htons(53), "
            'sin_addr=inet_addr("1.1.1.1")}, msg_namelen=16}, 0) = 1', "1.1.1.1"),
    ],
)  # fmt: skip
def test_a_line_tells_who_was_called(line: str, address: str | None) -> None:
    found = CONNECT.search(line)
    assert (found[2] if found else None) == address


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder with a short name: wandb puts its socket elsewhere if the name is long."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_a_run_keeps_to_itself(tmp_path: Path, short_folder: Path) -> None:
    home, workspace, temporary = tmp_path / "home", tmp_path / "workspace", short_folder
    for folder in (home, workspace):
        folder.mkdir()
    traces = tmp_path / "traces"
    traces.mkdir()
    settings = [s for s in TINY if not s.startswith("logger")]
    done = subprocess.run(
        [
            # A file for each thread, as in a common one they would interrupt each other's lines.
            *("strace", "-ff", "--seccomp-bpf", "-qq", "-s", "300", "-o", str(traces / "of")),
            *("-e", f"trace={CALLS}"),
            *(sys.executable, str(ROOT / "scripts" / "train.py"), *settings),
            *("quantizer=ttq", "recipe.epochs=1", f"workspace={workspace}"),
            f"hydra.run.dir={workspace}/outputs/hydra",
        ],
        cwd=workspace,
        env=os.environ | {"HOME": str(home), "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [
        line
        for trace in traces.iterdir()
        for line in trace.read_text(errors="replace").splitlines()
    ]
    addresses = {found[2] for line in lines if (found := CONNECT.search(line))}
    assert addresses <= LOOPBACK
    paths = {path for line in lines if (path := written(line))}
    # Composed configs are kept in the package's own cache.
    allowed = (workspace, temporary, CACHE, Path("/dev"), Path("/proc"))
    strangers = {path for path in paths if not any(path.is_relative_to(a) for a in allowed)}
    assert not {path for path in strangers if "__pycache__" not in path.parts}
    assert any(path.is_relative_to(workspace / "outputs") for path in paths), "the trace works"
    assert list(workspace.rglob("*.wandb")), "wandb was on"
