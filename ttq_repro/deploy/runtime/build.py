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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from ttq_repro.files import CACHE, write_atomically

SOURCES = Path(__file__).parent
KEPT = CACHE / "runtime"
FLAGS = ["-std=c++20", "-O3", "-ffp-contract=fast", "-fPIC", "-pipe", "-w"]
TORCH = Path(torch.__file__).parent
#: The flags that a source needs besides FLAGS.
EXTRA = {
    **{source: ["-fopenmp"] for source in ("runtime", "pad", "winograd")},
    "operators": [f"-I{TORCH / 'include'}"],
}
LINK = ["-shared", "-fopenmp", f"-L{TORCH / 'lib'}", "-ltorch_cpu"]
#: The instruction sets that have a kernel, with the compiler flags of each. LEVELS followed by
#: ROUNDING has the order of KERNELS in runtime.cpp.
LEVELS: dict[str, list[str]] = {"portable": []}
if platform.machine() in ("x86_64", "AMD64"):
    AMX = ["-mavx512f", "-mavx512bf16", "-mamx-tile", "-mamx-bf16"]
    LEVELS |= {"avx2": ["-mavx2", "-mfma"], "avx512": ["-mavx512f"], "amx": AMX}
#: Levels that round to bfloat16 where others are exact, each with the level whose instructions it
#: uses. They are never the default.
ROUNDING = {"amx_one_pass": "amx"}
#: Timeout of one compiler call in seconds; with sanitizers on a busy machine it takes minutes.
PATIENCE = 900
DIGEST_BYTES = hashlib.sha256().digest_size


class Runtime:
    """The compiled runtime. Creating it registers its operators with torch.

    Attributes:
        supported: the levels of ``LEVELS`` and ``ROUNDING`` that this processor can run.
        level: the level in use, initially the last of ``LEVELS`` that is supported.
    """

    def __init__(self, path: Path) -> None:
        torch.ops.load_library(str(path))
        self.supported = list(LEVELS)[: torch.ops.ternary.level() + 1]
        self.level = self.supported[-1]
        self.supported += [level for level, like in ROUNDING.items() if like in self.supported]

    def use(self, level: str) -> None:
        """Switch to another level.

        Raises:
            ValueError: this processor does not have its instructions.
        """
        if level not in self.supported:
            raise ValueError(f"level={level}: this processor supports {', '.join(self.supported)}")
        torch.ops.ternary.use([*LEVELS, *ROUNDING].index(level))
        self.level = level


@functools.cache
def runtime() -> Runtime | None:
    """The runtime, compiled if necessary; None if that fails.

    Warns once if ternary layers are unpacked for want of the runtime or of vector instructions.
    """
    found = None
    try:
        found = Runtime(compile_library(KEPT))
        reason = "this processor has no vector instructions that make packed layers faster"
    except subprocess.CalledProcessError as error:
        reason = f"no C++ runtime, {error.cmd[0]}: {error.stderr.strip()[-200:]}"
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        reason = f"no C++ runtime, {error}"
    if found is None or found.level == "portable":
        warnings.warn(f"ternary layers are unpacked to float32 in every call ({reason})")
    return found


def compile_library(folder: Path) -> Path:
    """Compile the library into ``folder`` unless it is there; several processes may do so at once.

    The compiler is ``$CXX``, by default g++. The file name holds two hashes, one of the sources and
    one of the command and the versions of compiler and torch. Libraries of other sources are
    removed, which does not disturb a process that has loaded one.

    Raises:
        OSError: there is no such compiler, or the folder cannot be written.
        ValueError: ``$CXX`` is not a valid command.
        subprocess.CalledProcessError, subprocess.TimeoutExpired: the compiler fails.
    """
    compiler = [*shlex.split(os.environ.get("CXX") or "g++"), *FLAGS]
    units = [(source, source, extra) for source, extra in EXTRA.items()]
    for level, instructions in LEVELS.items():
        units.append(("kernel_amx" if level == "amx" else "kernel", level, instructions))
    version = _run([*compiler, "--version"])
    of_sources = _hash(*(source.read_bytes() for source in sorted(SOURCES.glob("*.[ch]pp"))))
    of_command = _hash(repr((version, compiler, units, LINK, torch.__version__)).encode())
    path = folder / f"ternary-{of_sources}-{of_command}.so"
    if _is_sound(path):
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch, ThreadPoolExecutor() as pool:
        objects = [f"{scratch}/{name}.o" for _, name, _ in units]
        commands = [
            [*compiler, *extra, "-c", f"{SOURCES / source}.cpp", "-o", target]
            for (source, _, extra), target in zip(units, objects, strict=True)
        ]
        list(pool.map(_run, commands))
        linked = Path(scratch) / path.name
        _run([*compiler, *objects, *LINK, "-o", str(linked)])
        library = linked.read_bytes()
    write_atomically(path, library + hashlib.sha256(library).digest())
    for kept in folder.glob("ternary-*.so"):
        if not kept.name.startswith(f"ternary-{of_sources}-"):
            kept.unlink(missing_ok=True)
    return path


def _is_sound(path: Path) -> bool:
    """Whether the library exists and is intact: a truncated one kills the process that loads it.

    Its SHA-256 is appended to it, where no loader reads, as two files cannot be replaced at once.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return False
    return hashlib.sha256(content[:-DIGEST_BYTES]).digest() == content[-DIGEST_BYTES:]


def _hash(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _run(command: list[str]) -> str:
    # A compiler may write in any encoding.
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, errors="replace", timeout=PATIENCE
    )
    return done.stdout
