"""The runtime's shared library: compiled at first use, kept in the cache of this checkout."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from ttq_repro.files import CACHE, remove_leftovers, write_atomically

SOURCES = Path(__file__).parent
KEPT = CACHE / "runtime"
#: The most libraries in the cache. Several versions of this package may share it.
MOST_KEPT = 8
FLAGS = ["-std=c++20", "-O3", "-ffp-contract=fast", "-fPIC", "-pipe", "-w"]
TORCH = Path(torch.__file__).parent
#: The flags that a source needs besides FLAGS.
EXTRA = {
    **{source: ["-fopenmp"] for source in ("runtime", "pad", "winograd")},
    "operators": [f"-I{TORCH / 'include'}"],
}
LINK = ["-shared", "-fopenmp", f"-L{TORCH / 'lib'}", "-ltorch_cpu"]
#: The kernels, one for each instruction set, with their compiler flags. Followed by those of
#: ROUNDING, this is the order of KERNELS in runtime.cpp.
KERNELS: dict[str, list[str]] = {"portable": []}
if platform.machine() in ("x86_64", "AMD64"):
    AMX = ["-mavx512f", "-mavx512bf16", "-mamx-tile", "-mamx-bf16"]
    KERNELS |= {"avx2": ["-mavx2", "-mfma"], "avx512": ["-mavx512f"], "amx": AMX}
#: Kernels that round to bfloat16 where others are exact, each with the one whose instructions it
#: uses. They are never the default.
ROUNDING = {"amx_one_pass": "amx"}
#: Timeout of one compiler call in seconds; with sanitizers on a busy machine it takes minutes.
PATIENCE = 900
DIGEST_BYTES = hashlib.sha256().digest_size


class Runtime:
    """The compiled runtime. Creating it registers its operators with torch.

    Attributes:
        supported: the kernels of ``KERNELS`` and ``ROUNDING`` that this processor can run.
        kernel: the one in use, initially the last of ``KERNELS`` that is supported.
    """

    def __init__(self, path: Path) -> None:
        torch.ops.load_library(str(path))
        self.supported = list(KERNELS)[: torch.ops.ternary.best_kernel() + 1]
        self.kernel = self.supported[-1]
        self.supported += [kernel for kernel, like in ROUNDING.items() if like in self.supported]

    def use(self, kernel: str) -> None:
        """Switch to another kernel.

        Raises:
            ValueError: this processor does not have its instructions.
        """
        if kernel not in self.supported:
            supported = ", ".join(self.supported)
            raise ValueError(f"kernel={kernel}: this processor supports {supported}")
        torch.ops.ternary.use([*KERNELS, *ROUNDING].index(kernel))
        self.kernel = kernel


@functools.cache
def runtime() -> Runtime | None:
    """The runtime, compiled if necessary; None if that fails.

    Warns once if ternary layers are unpacked for want of the runtime or of vector instructions.
    """
    found = None
    try:
        found = _loaded()
        reason = "this processor has no vector instructions that make packed layers faster"
    except subprocess.CalledProcessError as error:
        reason = f"no C++ runtime, {error.cmd[0]}: {error.stderr.strip()[-200:]}"
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        reason = f"no C++ runtime, {error}"
    if found is None or found.kernel == "portable":
        warnings.warn(f"ternary layers are unpacked to float32 in every call ({reason})")
    return found


def _loaded() -> Runtime:
    try:
        library = compile_library(KEPT)
    except OSError:  # If the cache cannot be written. Without a compiler, this fails again.
        with tempfile.TemporaryDirectory() as folder:
            return Runtime(compile_library(Path(folder)))
    return Runtime(library)


def compile_library(folder: Path) -> Path:
    """Compile the library into ``folder`` unless it is there; of several processes, only one does.

    The compiler is ``$CXX``, by default g++. The file name holds two hashes, one of the sources,
    the flags and torch's version, and one of the compiler and its version. Without a compiler, as
    in a container that was made with one, the second may be any.

    Raises:
        OSError: there is no such compiler, or the folder cannot be written.
        ValueError: ``$CXX`` is not a valid command.
        subprocess.CalledProcessError, subprocess.TimeoutExpired: the compiler fails.
    """
    program, *own = shlex.split(os.environ.get("CXX") or "g++")
    compiler = [program, *own, *FLAGS]
    units = [(source, source, extra) for source, extra in EXTRA.items()]
    for kernel, instructions in KERNELS.items():
        units.append(("kernel_amx" if kernel == "amx" else "kernel", kernel, instructions))
    sources = [source.read_bytes() for source in sorted(SOURCES.glob("*.[ch]pp"))]
    of_sources = _hash(*sources, repr((own, FLAGS, units, LINK, torch.__version__)).encode())
    try:
        of_compiler = _hash(program.encode(), _run([*compiler, "--version"]).encode())
    except (OSError, subprocess.SubprocessError):
        for path in folder.glob(f"ternary-{of_sources}-*.so"):
            if _is_sound(path):
                return path
        raise
    path = folder / f"ternary-{of_sources}-{of_compiler}.so"
    if _is_sound(path):
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_sound(path):  # No other process has compiled it meanwhile.
            _compile(compiler, units, path)
    return path


def _compile(compiler: list[str], units: list[tuple[str, str, list[str]]], path: Path) -> None:
    """Compile the library ``path`` from units (source, object, flags); only one process may."""
    for leftover in path.parent.glob("tmp*"):  # Of a process that was killed.
        shutil.rmtree(leftover, ignore_errors=True)
    remove_leftovers(path)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch, ThreadPoolExecutor() as pool:
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
    kept = sorted(path.parent.glob("ternary-*.so"), key=lambda library: library.stat().st_mtime)
    for oldest in kept[:-MOST_KEPT]:  # This does not disturb a process that has loaded it.
        oldest.unlink()


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
