"""The quantities that claims need from one run, computed from its record."""

from __future__ import annotations

from statistics import mean, median
from typing import NamedTuple

from ttq_repro.paper.rules import (
    Density,
    Error,
    ErrorDrop,
    GeneralizationGap,
    LayerChange,
    Quantity,
    SparseKernels,
    TrailingError,
)
from ttq_repro.runs.record import Record, last_eighth

#: An outlier is off by more than this many points from the median of the last eighth of the epochs.
FAR = 1.0


def measure(record: Record, quantity: Quantity) -> float | None:
    """The quantity in the unit that its rule states, None if the record lacks it."""
    match quantity:
        case Error(split, top):
            return _final_error(record, split, top)
        case TrailingError():
            return 100 * record.test_error["trailing"]
        case GeneralizationGap():
            test, train = _final_error(record, "test"), _final_error(record, "train")
            return None if test is None or train is None else test - train
        case ErrorDrop(epoch, window):
            return error_drop(record.metrics["test_error"], epoch, window)
        case Density(layers, at_start):
            return _density(record, layers, at_start)
        case LayerChange(layer, of):
            return _change(record, layer, of)
        case SparseKernels():
            return _sparse_kernels(record)


def error_drop(errors: list[float], epoch: int, window: int) -> float | None:
    """:class:`ErrorDrop` in points, None if there are too few epochs on either side."""
    if epoch < window or len(errors) < epoch + window:
        return None
    return 100 * (mean(errors[epoch : epoch + window]) - mean(errors[epoch - window : epoch]))


class Outlier(NamedTuple):
    """A final epoch far from the last ``epochs``: its error and their median, in %."""

    final: float
    usual: float
    epochs: int


def outlier(record: Record) -> Outlier | None:
    """The final epoch of a run if it is an outlier."""
    curve = record.metrics["test_error"]
    last = last_eighth(curve)
    found = Outlier(100 * last[-1], 100 * median(last), len(last))
    return found if abs(found.final - found.usual) > FAR else None


def _final_error(record: Record, split: str, top: int = 1) -> float | None:
    if (split, top) == ("test", 1):
        return 100 * record.test_error["final"]
    errors = record.metrics.get(f"{split}_error" if top == 1 else f"{split}_top{top}_error")
    return 100 * errors[-1] if errors else None


def _density(record: Record, layers: tuple[int, ...], at_start: bool) -> float | None:
    full, total = 0.0, 0
    for place in layers:
        if place >= len(record.decisions):
            return None
        decision = record.decisions[place]
        zeros = _zeros(record, decision["layer"], at_start) if decision["quantize"] else 0.0
        if zeros is None:
            return None
        total += decision["weights"]
        full += decision["weights"] * (1 - zeros)
    return 100 * full / total


def _zeros(record: Record, layer: str, at_start: bool) -> float | None:
    if at_start:
        return record.histograms.get(layer, {}).get("before", {}).get("zero")
    shares = record.layers.get(layer, {}).get("zero")
    return shares[-1] if shares else None


def _sparse_kernels(record: Record) -> float | None:
    kernels = record.kernels.values()
    if not kernels:
        return None
    return 100.0 * any(layer["empty"] or layer["single"] for layer in kernels)


def _change(record: Record, layer: str, of: str) -> float | None:
    quantized = [d for d in record.decisions if d["quantize"] and d["layer"] in record.layers]
    kind, place = {
        "first": (("Conv2d", "Linear"), 0),
        "last convolution": (("Conv2d",), -1),
        "last linear": (("Linear",), -1),
    }[layer]
    # In records without the kind of a layer, it is the reason.
    names = [d["layer"] for d in quantized if d.get("kind", d["reason"]) in kind]
    values = record.layers[names[place]].get(of) if names else None
    if not values:
        return None
    return (100 if of == "zero" else 1) * (values[-1] - values[0])
