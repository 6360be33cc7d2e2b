"""The runtime's shared library: compiled at first use, kept in the cache of this checkout."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import shlex
import subprocess
import tempfile
import warnings
from ctypes import CDLL
from pathlib import Path

from ttq_repro.files import ROOT

SOURCES = Path(__file__).parent
#: Where ``Workspace(ROOT).cache`` is; loading a network imports nothing that runs need.
CACHE = ROOT / "outputs" / "cache" / "runtime"
FLAGS = ["-std=c++17", "-O3", "-ffp-contract=fast", "-fPIC", "-pipe", "-w"]
THREADS = ["-fopenmp"]
#: The sets of instructions that kernel.cpp is compiled for, in the order of runtime.cpp's KERNELS.
LEVELS: dict[str, list[str]] = {"portable": []}
if platform.machine() in ("x86_64", "AMD64"):
    LEVELS |= {"avx2": ["-mavx2", "-mfma"], "avx512": ["-mavx512f"]}
#: Seconds that one call of the compiler may take.
PATIENCE = 300


@functools.cache
def library() -> CDLL | None:
    """The compiled runtime; None, and one warning, where it cannot be built."""
    try:
        return CDLL(str(build(CACHE)))
    except subprocess.CalledProcessError as error:
        reason = f"{shlex.join(error.cmd)}: {error.stderr.strip()}"
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = str(error)
    warnings.warn(
        f"no C++ runtime for ternary layers, they are unpacked to float32 in every call ({reason})"
    )
    return None


def build(folder: Path, flags: list[str] = FLAGS) -> Path:
    """Compile into ``folder`` what is not there yet; several processes may do so at once.

    The compiler is ``$CXX``, by default g++. A library is known by a hash of its sources, its flags
    and the compiler's version.

    Raises:
        OSError: there is no such compiler, or the folder cannot be written.
        subprocess.CalledProcessError, subprocess.TimeoutExpired: the compiler fails.
    """
    compiler = shlex.split(os.environ.get("CXX") or "g++")
    path = folder / f"ternary-{_key([*compiler, *flags])}.so"
    if path.is_file():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        units = [("runtime", "runtime", THREADS)]
        units += [("kernel", level, extra) for level, extra in LEVELS.items()]
        for source, unit, extra in units:
            target = ["-c", f"{SOURCES / source}.cpp", "-o", f"{scratch}/{unit}.o"]
            _run([*compiler, *flags, *extra, *target])
        objects = [f"{scratch}/{unit}.o" for _, unit, _ in units]
        linked = Path(scratch) / path.name
        _run([*compiler, *flags, *THREADS, "-shared", *objects, "-o", str(linked)])
        linked.replace(path)
    return path


def _key(command: list[str]) -> str:
    digest = hashlib.sha256(_run([*command, "--version"]).encode())
    digest.update(repr((command, THREADS, LEVELS)).encode())
    for source in sorted(SOURCES.glob("*.[ch]pp")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _run(command: list[str]) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE)
    return done.stdout
