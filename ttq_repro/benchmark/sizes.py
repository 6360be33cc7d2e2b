"""Bytes on disk of every network of the suite, by part (configs/sizes.yaml)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import astuple, dataclass
from functools import partial
from operator import itemgetter

from safetensors.torch import save
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ttq_repro.benchmark import operations
from ttq_repro.benchmark.timing import Interval
from ttq_repro.benchmark.untrained import Packable, untrained
from ttq_repro.benchmark.verdict import verdict
from ttq_repro.checks import check_list, check_option, check_path
from ttq_repro.deploy.format import serialize
from ttq_repro.deploy.loading import build, open_packed
from ttq_repro.deploy.packed import PackedNetwork
from ttq_repro.deploy.packing import pack
from ttq_repro.errors import UserError, as_user_error
from ttq_repro.files import ROOT
from ttq_repro.quantizers import quantized_layers
from ttq_repro.runs.config import Config
from ttq_repro.runs.trained import read_trained
from ttq_repro.table import NOTHING, Table

#: What an entry of ``networks`` consists of.
TRAINED, UNTRAINED = ("title", "packed"), ("title", "overrides", "side", "codes_from")
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
        UserError: there are no networks, an entry is incomplete or quantizes no layer, or its files
            are of several runs.
    """
    check_option("networks", request["networks"], check_list)
    sizes, costs, layers = [], [], []
    for entry in request["networks"]:
        with as_user_error(f"networks: {entry}"):
            is_trained = "packed" in entry
            title, *described = itemgetter(*(TRAINED if is_trained else UNTRAINED))(entry)
        packable, source = (_trained if is_trained else _untrained)(*described)
        labels = [str(title), str(source)]
        packed = {fold: packable.pack(fold=fold) for fold in (False, True)}
        if not packed[True].layers:
            raise UserError(f"networks: {title}: no layer is quantized")
        sizes += [
            [*labels, *row] for row in _rows(packable.network, packed, entry.get("targets", {}))
        ]
        counted = operations.operations(build(packed[True], "unpacked"), packed[True].inputs.size)
        costs.append([*labels, *operations.row(_bits(packed[True]), counted)])
        if entry.get("by_layer"):
            layers += [[*labels, *row] for row in operations.by_layer(counted)]
    header = [*HEADER[:2], *operations.HEADER]
    return [
        ("sizes", Table(CAPTION, HEADER, sizes)),
        ("operations", Table(operations.CAPTION, [*HEADER[:3], *operations.HEADER[1:]], costs)),
        ("operations_by_layer", Table(operations.CAPTION, header, layers)),
    ]


def _trained(packed: str) -> tuple[Packable, str]:
    """The network of a packed file with the float weights of its run, and a label for the run.

    Raises:
        UserError: ``packed`` is not a path, a file is missing, or the files are of several runs.
    """
    check_option("packed", packed, check_path)
    path = ROOT / packed
    described, _ = open_packed(path, "unpacked")
    made = described.provenance
    with as_user_error(f"{path}: its run"):
        seed, weights, error = itemgetter("seed", "weights_sha256", "test_error")(made)
    network, record = read_trained(path.with_name(f"seed{seed}.safetensors"))
    if record.weights_sha256 != weights:
        raise UserError(f"{path}: made from other weights of {record.name}")
    model = described.architecture, described.arguments, described.inputs
    source = f"trained: {record.name}, test error {100 * error:.2f}%"
    return Packable(network, partial(pack, network, *model, provenance=made)), source


def _untrained(overrides: list[str], side: int, codes_from: str) -> tuple[Packable, str]:
    """The network that a run starts from, and its label."""
    return untrained(overrides, side), codes_from


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
    network: nn.Module, packed: dict[bool, PackedNetwork], targets: dict[str, list[float]]
) -> list[list[str]]:
    trained = float_sizes(network)
    whole = trained.layers + trained.floats + trained.batch_norm
    rows = [_row(AS_TRAINED, trained, ["1.00", f"{whole / trained.total:.2f}", NOTHING])]
    for template, coding, fold in FORMATS:
        suits = MEANT_FOR.get(coding, bool)
        if not all(suits(layer.levels) for layer in packed[fold].layers):
            continue
        name = template.format(bits=_bits(packed[fold]))
        sizes = packed_sizes(serialize(packed[fold], coding))
        ratios = [trained.layers / sizes.layers, whole / sizes.total]
        wanted = targets.get(name, [])
        verdicts = [
            verdict(Interval.exactly(ratio), at_least=target)
            for ratio, target in zip(ratios, wanted, strict=False)
        ]
        rows.append(
            _row(name, sizes, [*(f"{r:.2f}" for r in ratios), ", ".join(verdicts) or NOTHING])
        )
    return rows


def _bits(packed: PackedNetwork) -> str:
    width = max(layer.width for layer in packed.layers)
    return "1 bit" if width == 1 else f"{width} bits"


def _row(name: str, sizes: Sizes, rest: list[str]) -> list[str]:
    return [name, *(f"{size:,}" for size in (*astuple(sizes), sizes.total)), *rest]
