"""A request that a benchmark cannot meet is refused before anything is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from ttq_repro.benchmark import inference, sizes, training_speed
from ttq_repro.errors import UserError
from ttq_repro.runs.config import Config, compose_config

MEASURES: dict[str, Callable[[Config], Iterable[Any]]] = {
    "benchmark": training_speed.measure,
    "benchmark_inference": inference.measure,
    "sizes": sizes.measure,
}
LINES = [
    ("benchmark", "parts=[foo]", "parts=foo: must be one of training, "),
    ("benchmark", "parts=training", "parts=training: must be a non-empty list"),
    ("benchmark", "models=[]", "models=[]: must be a non-empty list"),
    ("benchmark", "batches=[0]", "batches=0: must be a whole number from 1, got 0"),
    ("benchmark", "overrides=5", "overrides=5: must be a list"),
    ("benchmark", "overrides=['trainer.precision=fp16']", "trainer.precision=fp16: must be "),
    ("benchmark", "seconds=x", "seconds=x: must be a number, got 'x'"),
    ("benchmark_inference", "seconds=x", "seconds=x: must be a number, got 'x'"),
    (
        "benchmark_inference",
        "networks=[{title: x}]",
        "networks={'title': 'x'}: there is no overrides, side, batches",
    ),
    (
        "benchmark_inference",
        "targets=[{network: x, batch: 1, percnt: 5}]",
        "targets={'network': 'x', 'batch': 1, 'percnt': 5}: unknown: percnt; known are network, ",
    ),
    (
        "benchmark_inference",
        "networks=[{title: x, overrides: ['model.depth=8'], side: 32, batches: [1]}]",
        "networks: x: no layer is quantized",
    ),
    ("benchmark", "models=[alexnet_bn]", "model: it cannot take images of 32 x 32: "),
    ("benchmark", "models=[resnet20,resnet21]", "models=resnet21: must be one of "),
    ("benchmark", "seconds=-1", "seconds=-1: must be at least 0, got -1"),
    ("benchmark_inference", "seconds=-1", "seconds=-1: must be at least 0, got -1"),
    (
        "benchmark_inference",
        "targets=[{network: x, batch: 1, needs: 5}]",
        "targets.needs=5: must be text, got 5",
    ),
    (
        "sizes",
        "networks=[{title: x, packed: x, targets: {2 bits: 16}}]",
        "targets.2 bits=16: must be a non-empty list",
    ),
    ("benchmark_inference", "networks=x", "networks=x: must be a non-empty list"),
    ("benchmark_inference", "networks=[]", "networks=[]: must be a non-empty list"),
    ("sizes", "networks=[]", "networks=[]: must be a non-empty list"),
    ("sizes", "networks=[{title: x, packed: 5}]", "packed=5: must be a path, got 5"),
    (
        "sizes",
        "networks=[{title: x}]",
        "networks={'title': 'x'}: there is no overrides, side, codes_from",
    ),
    (
        "sizes",
        "networks=[{title: x, packed: x, by_layers: true}]",
        "networks={'title': 'x', 'packed': 'x', 'by_layers': True}: unknown: by_layers; known are ",
    ),
    (
        "sizes",
        "networks=[{title: x, overrides: ['model.depth=8', 'quantizer=ttq'], side: 32, "
        "codes_from: x, targets: {2 bit: [16]}}]",
        "targets: no format 2 bit; there are float32, as trained, 2 bits, ",
    ),
    (
        "sizes",
        "networks=[{title: x, overrides: ['model.depth=8'], side: 1, codes_from: x}]",
        "model: it cannot take images of 1 x 1: ",
    ),
    (
        "sizes",
        "networks=[{title: x, overrides: ['model.depth=8'], side: 1028, codes_from: x}]",
        "side=1028: ",
    ),
]


@pytest.mark.parametrize(("name", "override", "said"), LINES)
def test_a_bad_option_is_one_line(name: str, override: str, said: str) -> None:
    with pytest.raises(UserError) as refused:
        list(MEASURES[name](compose_config(name, [override])))
    assert str(refused.value).startswith(said)
    assert len(str(refused.value).splitlines()) == 1


def test_targets_that_no_committed_one_resembles_are_checked_too() -> None:
    """Those that take the place of a committed one are compared with it when composed."""
    inference_request = compose_config("benchmark_inference", [])
    inference_request["targets"].append({"network": "x", "batch": 1, "percent": "abc"})
    with pytest.raises(UserError, match=r"^targets\.percent=abc: must be a number, got 'abc'$"):
        list(inference.measure(inference_request))
    sizes_request = compose_config("sizes", [])
    sizes_request["networks"] = [{"title": "x", "packed": "x", "targets": 5}]
    with pytest.raises(UserError, match=r"^targets=5: must list ratios by format"):
        sizes.measure(sizes_request)


def test_what_is_measured_last_is_refused_first(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_early(*_: object) -> None:
        raise AssertionError("measured before everything was checked")

    monkeypatch.setattr(inference, "interleaved", too_early)
    usual = {"title": "a", "overrides": ["model.depth=8", "quantizer=ttq"], "side": 32}
    request = compose_config("benchmark_inference", ["targets=[]"])
    request["networks"] = [usual | {"batches": [1]}, usual | {"batches": [1, 0]}]
    with pytest.raises(UserError, match="batches=0: must be a whole number from 1"):
        list(inference.measure(request))
    request["networks"][1] = usual | {"overrides": ["model=resnet21"], "batches": [1]}
    with pytest.raises(UserError, match="model=resnet21: must be one of"):
        list(inference.measure(request))


def test_a_mistake_of_our_own_is_not_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken(*_: object) -> None:
        raise KeyError("ours")

    for module, name, more in (
        (inference, "benchmark_inference", "batches: [1]"),
        (sizes, "sizes", "codes_from: x"),
    ):
        monkeypatch.setattr(module, "untrained", mistaken)
        entry = f"{{title: x, overrides: [], side: 32, {more}}}"
        with pytest.raises(KeyError, match="ours"):
            list(module.measure(compose_config(name, [f"networks=[{entry}]"])))
