"""Bytes on disk of every network of the suite, by part (configs/sizes.yaml)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import astuple, dataclass
from operator import itemgetter
from typing import NamedTuple

from safetensors.torch import save
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ttq_repro.benchmark import operations
from ttq_repro.benchmark.timing import Interval
from ttq_repro.benchmark.untrained import untrained
from ttq_repro.benchmark.verdict import verdict
from ttq_repro.checks import check_fields, check_list, check_number, check_option, check_path
from ttq_repro.deploy.format import serialize
from ttq_repro.deploy.loading import build, open_packed
from ttq_repro.deploy.packed import PackedNetwork
from ttq_repro.errors import UserError, as_user_error
from ttq_repro.files import ROOT
from ttq_repro.quantizers import quantized_layers
from ttq_repro.runs.config import Config
from ttq_repro.runs.trained import record_of
from ttq_repro.table import NOTHING, Table
from ttq_repro.training.network import quantized_network

#: What an entry of ``networks`` consists of, and what it may have besides.
TRAINED, UNTRAINED = ("title", "packed"), ("title", "overrides", "side", "codes_from")
OPTIONAL = ("by_layer", "targets")
AS_TRAINED = "float32, as trained"
#: Rows of the table: name, coding, and whether batch norm is folded.
FORMATS = [
    ("{bits}, batch norm as trained", "packed", False),
    ("{bits}", "packed", True),
    ("trits", "trits", True),
    ("Huffman", "huffman", True),
    ("entropy-coded", "zstd", True),
]
#: Whether a coding is meant for a number of levels; without an entry, it is for any.
MEANT_FOR: dict[str, Callable[[int], bool]] = {
    "trits": lambda levels: levels == 3,
    "huffman": lambda levels: levels > 3,
}
HEADER = [
    "network", "codes from", "format",
    "quantized layers", "scales", "float layers", "batch norm", "header", "bytes",
    "layers x", "whole x", "target",
]  # fmt: skip
CAPTION = (
    "Bytes on disk by part. Layers x: how many times smaller the codes of the quantized layers are "
    "than their float32 weights. Whole x: the same for the whole file, with scales and header, "
    "against the float network with its running statistics and without a header. Batch norm is "
    "folded unless the format says otherwise. The scales of Deep Compression are its codebooks; as "
    "trained, nearly all of these bytes are a mask of the weights that are kept and their "
    "positions, cluster by cluster. How far codes compress depends on the weights: the second "
    "column states their origin, a trained network if one is committed."
)


@dataclass(frozen=True)
class Sizes:
    """Bytes of each part of a file."""

    layers: int
    scales: int
    floats: int
    batch_norm: int
    header: int

    @property
    def total(self) -> int:
        return sum(astuple(self))


def measure(request: Config) -> list[tuple[str, Table]]:
    """Tables of sizes and operations of the networks in ``request``, with their file names.

    Nothing is trained: each network is either the result of an earlier run or the untrained
    network that a run starts from.

    Raises:
        UserError: there are no networks, an entry is incomplete or quantizes no layer, has an
            unknown option or a target for an unknown format, or its files are of several runs.
    """
    check_option("networks", request["networks"], check_list)
    sizes, costs, layers = [], [], []
    for entry in request["networks"]:
        is_trained = isinstance(entry, dict) and "packed" in entry
        keys = TRAINED if is_trained else UNTRAINED
        check_option("networks", entry, check_fields, keys, OPTIONAL)
        targets = _targets(entry)
        title, *described = itemgetter(*keys)(entry)
        network, packed, source = (_trained if is_trained else _untrained)(*described)
        labels, first = [str(title), str(source)], packed[0]
        if not first.layers:
            raise UserError(f"networks: {title}: no layer is quantized")
        sizes += [[*labels, *row] for row in _rows(network, packed, targets)]
        counted = operations.operations(build(first, "unpacked"), first.inputs.size)
        costs.append([*labels, *operations.row(_bits(first), counted)])
        if entry.get("by_layer"):
            layers += [[*labels, *row] for row in operations.by_layer(counted)]
    header = [*HEADER[:2], *operations.HEADER]
    return [
        ("sizes", Table(CAPTION, HEADER, sizes)),
        ("operations", Table(operations.CAPTION, [*HEADER[:3], *operations.HEADER[1:]], costs)),
        ("operations_by_layer", Table(operations.CAPTION, header, layers)),
    ]


def _targets(entry: Config) -> dict[str, list[float]]:
    """The least ratios of an entry, by format: of its quantized layers, then of the whole file."""
    targets = entry.get("targets", {})
    if not isinstance(targets, dict):
        raise UserError(f"targets={targets}: must list ratios by format, as in {{2 bits: [16]}}")
    for name, ratios in targets.items():
        check_option(f"targets.{name}", ratios, check_list)
        for ratio in ratios:
            check_option(f"targets.{name}", ratio, check_number)
    return targets


class Subject(NamedTuple):
    """A network of the table: untrained as a run starts from it, packed, and its label."""

    network: nn.Module
    packed: list[PackedNetwork]
    source: str


def _trained(packed: str) -> Subject:
    """The network of a packed file; that of its run's config is as large as the trained one.

    Raises:
        UserError: ``packed`` is not a path, or the file or its run's record is missing or damaged,
            or they are of several runs.
    """
    check_option("packed", packed, check_path)
    path = ROOT / packed
    described, _ = open_packed(path, "unpacked")
    with as_user_error(f"{path}: its run"):
        seed, weights = itemgetter("seed", "weights_sha256")(described.provenance)
    record = record_of(path.with_name(f"seed{seed}.safetensors"))
    if record.weights_sha256 != weights:
        raise UserError(f"{path}: made from other weights of {record.name}")
    error = 100 * record.test_error["final"]
    source = f"trained: {record.name}, test error {error:.2f}%"
    return Subject(quantized_network(record.config), [described], source)


def _untrained(overrides: list[str], side: int, codes_from: str) -> Subject:
    """The network that a run starts from."""
    network, pack = untrained(overrides, side)
    return Subject(network, [pack(fold=True), pack(fold=False)], codes_from)


def float_sizes(network: nn.Module) -> Sizes:
    """Sizes of the weights file of a run: latent weights, scales, everything else."""
    state = network.state_dict()
    latent = {f"{q.name}.parametrizations.weight.original" for q in quantized_layers(network)}
    norms = {name for name, module in network.named_modules() if isinstance(module, _BatchNorm)}
    parts = {"layers": 0, "scales": 0, "floats": 0, "batch_norm": 0}
    for key, tensor in state.items():
        module = key.rpartition(".")[0]
        if key in latent:
            parts["layers"] += tensor.nbytes
        elif ".parametrizations." in key:
            parts["scales"] += tensor.nbytes
        else:
            parts["batch_norm" if module in norms else "floats"] += tensor.nbytes
    header = len(save(state)) - sum(parts.values())
    return Sizes(**parts, header=header)


def packed_sizes(content: bytes) -> Sizes:
    """Sizes of a packed file, from its own header."""
    header = 8 + int.from_bytes(content[:8], "little")
    entries = json.loads(content[8:header])
    lengths = {
        name: entries[name]["data_offsets"][1] - entries[name]["data_offsets"][0]
        for name in ("codes", "levels", "floats", "batch_norm")
    }
    return Sizes(
        layers=lengths["codes"],
        scales=lengths["levels"],
        floats=lengths["floats"],
        batch_norm=lengths["batch_norm"],
        header=header,
    )


def _rows(
    network: nn.Module, packed: list[PackedNetwork], targets: dict[str, list[float]]
) -> list[list[str]]:
    trained = float_sizes(network)
    whole = trained.layers + trained.floats + trained.batch_norm
    rows = [_row(AS_TRAINED, trained, ["1.00", f"{whole / trained.total:.2f}", NOTHING])]
    by_fold = {one.folded: one for one in packed}
    for template, coding, fold in FORMATS:
        one, suits = by_fold.get(fold), MEANT_FOR.get(coding)
        if one is None or (suits and not all(suits(layer.levels) for layer in one.layers)):
            continue
        name = template.format(bits=_bits(one))
        sizes = packed_sizes(serialize(one, coding))
        ratios = [trained.layers / sizes.layers, whole / sizes.total]
        wanted = targets.get(name, [])
        verdicts = [
            verdict(Interval.exactly(ratio), at_least=target)
            for ratio, target in zip(ratios, wanted, strict=False)
        ]
        rows.append(
            _row(name, sizes, [*(f"{r:.2f}" for r in ratios), ", ".join(verdicts) or NOTHING])
        )
    formats = [row[0] for row in rows]
    if unknown := [str(name) for name in targets if name not in formats]:
        raise UserError(f"targets: no format {', '.join(unknown)}; there are {', '.join(formats)}")
    return rows


def _bits(packed: PackedNetwork) -> str:
    width = max(layer.width for layer in packed.layers)
    return "1 bit" if width == 1 else f"{width} bits"


def _row(name: str, sizes: Sizes, rest: list[str]) -> list[str]:
    return [name, *(f"{size:,}" for size in (*astuple(sizes), sizes.total)), *rest]
