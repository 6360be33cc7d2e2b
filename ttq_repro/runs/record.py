"""The record: one small JSON file per run, from which tables and figures are drawn."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from ttq_repro.files import write_atomically
from ttq_repro.runs.run import RunKey
from ttq_repro.runs.validation import check

SCHEMA = 2
#: The bytes before and after the checksum at the end of a file.
SEAL, END = b', "checksum": "', b'"}\n'


class OtherSchemaError(ValueError):
    """A record is sound, but was written by another version of this project."""


@dataclass(frozen=True)
class Record:
    """Everything a run reports.

    Attributes:
        identity, seed: identify the run.
        config: its resolved config.
        parent: identity of the run it started from, and the checksum of that network.
        inputs: the images that its network takes: their ``size`` (height, width) in pixels, the
            ``crop_fraction`` of their short side that evaluation uses, ``mean`` and ``std`` of the
            channels of the training images, of values from 0 to 1, and the names of the
            ``classes``, by label.
        decisions: for every convolution and linear layer, its ``kind`` (the name of its class; not
            in records until 29 November 2026),
            whether it is quantized, why, and how many ``weights`` it has.
        metrics: values per epoch, by name; errors are fractions of images in [0, 1].
        layers: per quantized layer, the values per epoch that its quantizer reports: the shares
            ``negative``, ``zero`` and ``positive``, for methods with two or three levels
            ``positive_scale`` and ``negative_scale``, and quantities specific to the method.
        test_error: that of the ``final`` and of the ``best`` epoch, and the ``trailing`` mean over
            ``trailing_epochs``, see :func:`last_eighth`.
        correct: which test images the final network gets right, one bit each, in base64.
        weights_sha256: checksum of the network's safetensors file.
        warnings: those issued during training, about degenerate layers or failed compilation.
        provenance: commit, versions, hardware, time. For a resumed run they describe the process
            that finished it, and ``earlier`` lists commit, hardware and epochs of those before.
            ``replaces`` lists the sound records that this one replaced because their weights were
            missing: ``final`` error, checksum, commit, device, time.
        histograms: per quantized layer, its latent weights ``before`` and ``after`` training:
            ``counts`` in equal bins from minus to plus the ``largest`` magnitude, and the shares
            and scales at that time.
        kernels: per ternary convolution, the number of its two-dimensional kernels (``count``), of
            those that are all zeros (``empty``) and of those with one nonzero weight (``single``),
            and the ``codes`` of the first 10 outputs x 10 inputs, of ``shape``; see
            :meth:`kernel_codes`.

    The last field of the file is the SHA-256 of the bytes before it, so that a flipped bit does not
    go unnoticed.
    """

    identity: str
    seed: int
    config: dict[str, Any]
    parent: dict[str, Any] | None
    inputs: dict[str, Any]
    decisions: list[dict[str, Any]]
    metrics: dict[str, list[float]]
    layers: dict[str, dict[str, list[float]]]
    test_error: dict[str, float]
    correct: str
    test_images: int
    weights_sha256: str
    provenance: dict[str, Any]
    warnings: list[str] = field(default_factory=list)
    histograms: dict[str, dict[str, Any]] = field(default_factory=dict)
    kernels: dict[str, dict[str, Any]] = field(default_factory=dict)
    schema: int = field(default=SCHEMA)

    def write(self, path: Path) -> None:
        """Write to ``path`` atomically."""
        content = json.dumps(asdict(self)).encode().removesuffix(b"}")
        write_atomically(path, content + SEAL + _digest(content) + END)

    @classmethod
    def read(cls, path: Path) -> Record:
        """The record at ``path``.

        Raises:
            OtherSchemaError: the file is sound, but of another version of this project.
            ValueError: the file is damaged; the message names it.
        """
        try:
            stored = path.read_bytes()
            # Twice as fast as json.loads, which matters with thousands of records.
            content = from_json(stored, cache_strings="keys")
            sealed, _, seal = stored.rpartition(SEAL)
            is_sound = seal == _digest(sealed) + END
            if (schema := content.get("schema")) != SCHEMA:
                of_another = OtherSchemaError if is_sound else ValueError
                raise of_another(f"schema {schema}, expected {SCHEMA}")
            if not is_sound:
                raise ValueError("its checksum does not match its content")
            del content["checksum"]
            record = cls(**content)
            check(record)
            return record
        except (ValueError, TypeError, AttributeError) as error:
            kind = OtherSchemaError if isinstance(error, OtherSchemaError) else ValueError
            raise kind(f"{path}: not a readable record ({error})") from None

    @property
    def key(self) -> RunKey:
        return RunKey(self.identity, self.seed)

    @property
    def name(self) -> str:
        """Identity and seed, as in :attr:`ttq_repro.runs.run.Run.name`."""
        return str(self.key)

    @property
    def machines(self) -> frozenset[str]:
        """The kinds of device that trained it, ``CPU`` or ``GPU``: both if a resume changed it."""
        return frozenset(kind_of(stint["device"]) for stint in self.stints)

    @property
    def stints(self) -> list[dict[str, Any]]:
        """The provenance of each process that trained the run, in order of time."""
        return [*self.provenance.get("earlier", []), self.provenance]

    def correct_images(self) -> NDArray[np.bool_]:
        """Which test images the final network gets right, in the order of the test set."""
        return unpack_correct(self.correct, self.test_images)

    def sparsity(self) -> float | None:
        """The share of zeros among all quantized weights at the end; None if none is quantized."""
        zeros = {name: layer["zero"][-1] for name, layer in self.layers.items() if "zero" in layer}
        sizes = {decision["layer"]: decision["weights"] for decision in self.decisions}
        if not zeros:
            return None
        return float(np.average(list(zeros.values()), weights=[sizes[name] for name in zeros]))

    def kernel_codes(self, layer: str) -> NDArray[np.int8]:
        """Codes -1, 0 and 1 of the layer's first kernels, (outputs, inputs, height, width)."""
        kept = self.kernels[layer]
        packed = np.frombuffer(base64.b64decode(kept["codes"]), np.uint8)
        unpacked = packed[:, None] >> np.arange(0, 8, 2) & 3
        count = int(np.prod(kept["shape"]))
        return (unpacked.ravel()[:count].astype(np.int8) - 1).reshape(kept["shape"])


def kind_of(device: str) -> str:
    """``CPU`` or ``GPU``, for a device as records name it."""
    return "CPU" if device == "cpu" else "GPU"


def last_eighth(values: list[float]) -> list[float]:
    """The last eighth of values per epoch, at least one, over which trailing means are taken."""
    return values[-max(1, len(values) // 8) :]


def pack_codes(codes: NDArray[np.integer]) -> str:
    """Pack codes -1, 0 and 1 into two bits each, the inverse of :meth:`Record.kernel_codes`."""
    flat = np.append(codes.ravel() + 1, np.zeros(-codes.size % 4, codes.dtype)).reshape(-1, 4)
    return base64.b64encode((flat << np.arange(0, 8, 2)).sum(1).astype(np.uint8).tobytes()).decode()


def pack_correct(correct: NDArray[np.bool_]) -> str:
    """One bit for each test image, in base64."""
    return base64.b64encode(np.packbits(correct).tobytes()).decode()


def unpack_correct(correct: str, images: int) -> NDArray[np.bool_]:
    """The inverse of :func:`pack_correct`."""
    packed = np.frombuffer(base64.b64decode(correct), np.uint8)
    return np.unpackbits(packed, count=images).astype(bool)


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def read_record(path: Path, warn: Callable[[str], Any]) -> Record | None:
    """The record at ``path``; None if it is missing or, with a warning, if it is damaged.

    A record at another run's path, perhaps copied by hand, counts as damaged.
    """
    if not path.is_file():
        return None
    try:
        record = Record.read(path)
    except ValueError as error:
        warn(f"skipped {error}")
        return None
    if (path.parent.name, path.stem) != (record.identity, f"seed{record.seed}"):
        warn(f"skipped {path}: it is the record of {record.name}")
        return None
    return record


def read_records(folder: Path, warn: Callable[[str], Any]) -> Iterator[Record]:
    """Every readable record below ``folder``, with a warning for each of the others.

    Seeds of one run that differ in test images, epochs or layers cannot be averaged: those that
    differ from the majority are skipped, too.
    """
    for _, paths in groupby(sorted(folder.rglob("*.json")), key=lambda path: path.parent):
        yield from _alike({path: read_record(path, warn) for path in paths}, warn)


def _alike(found: dict[Path, Record | None], warn: Callable[[str], Any]) -> Iterable[Record]:
    by_path = {path: record for path, record in found.items() if record is not None}
    shapes = Counter(map(_shape, by_path.values()))
    for path, record in by_path.items():
        if _shape(record) == shapes.most_common(1)[0][0]:
            yield record
        else:
            warn(
                f"skipped {path}: its {record.test_images} test images, "
                f"{len(record.metrics['seconds'])} epochs and {len(record.layers)} layers do not "
                "match the run's other seeds; delete this record to train its seed again"
            )


def _shape(record: Record) -> tuple[int, int, frozenset[str]]:
    return record.test_images, len(record.metrics["seconds"]), frozenset(record.layers)
