"""The table of inference times, on a network small enough to be measured quickly."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from functools import partial
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from ttq_repro.benchmark import engines, inference, verdict
from ttq_repro.benchmark.rows import HEADER
from ttq_repro.benchmark.timing import Interval
from ttq_repro.deploy.runtime import runtime
from ttq_repro.errors import UserError
from ttq_repro.paper.claims import CLAIMS
from ttq_repro.runs.config import Config, compose_config


class SignalStack(ctypes.Structure):
    """stack_t of sigaltstack(2)."""

    _fields_ = [("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]


@pytest.fixture(scope="module", autouse=True)
def _own_signal_stack() -> Iterator[None]:
    """Disable the alternate signal stack that OpenVINO leaves to this thread.

    The next signal would overrun it: SIGCHLD in a process that has loaded data with workers.
    """
    yield
    disabled = SignalStack(None, 2, 0)
    assert ctypes.CDLL(None).sigaltstack(ctypes.byref(disabled), None) == 0


@pytest.fixture
def request_(monkeypatch: pytest.MonkeyPatch) -> Config:
    """A request for a ResNet-8 at batch 2, without torch.compile, which takes half a minute."""

    def eager(network: nn.Module, images: Tensor) -> Callable[[], Tensor]:
        return lambda: network(images)

    monkeypatch.setattr(engines, "compiled", eager)
    monkeypatch.setattr(inference, "compiled", eager)
    entry = {
        "title": "ResNet-8",
        "overrides": ["model=resnet20", "model.depth=8", "quantizer=ttq_sparsity"],
        "side": 32,
        "batches": [2],
    }
    targets = [
        {"network": "ResNet-8", "batch": 2, "percent": 1e6},
        {"network": "ResNet-8", "batch": 2, "percent": 28, "needs": "amx_bf16"},
        {"network": "ResNet-8", "batch": 2, "percent": 0, "needs": "avx2", "lacks": "amx_bf16"},
        {"network": "ResNet-8", "batch": 2, "percent": 0, "needs": "avx2", "lacks": "avx2"},
        {"network": "ResNet-8", "batch": 2, "percent": 1e6, "error": 2e-5},
        {"network": "ResNet-8", "batch": 2, "error": 1e-12},
        {
            **{"network": "ResNet-8", "batch": 2, "percent": 22, "needs": "amx_bf16"},
            "engine": "ternary one pass",
        },
    ]
    return {"networks": [entry], "targets": targets, "threads": 1, "seconds": 0}


@pytest.mark.slow
@torch.inference_mode()
def test_a_compiled_network_has_its_weights_frozen() -> None:
    network, images = nn.Conv2d(3, 4, 3), torch.randn(1, 3, 8, 8)
    expected = network(images)
    engine = engines.compiled(network, images)
    nn.init.zeros_(network.weight)
    torch.testing.assert_close(engine(), expected)


@pytest.mark.skipif(runtime() is None, reason="needs a C++ compiler")
def test_the_table_has_a_row_for_each_engine_and_a_verdict_on_each_target(
    request_: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdict, "cpu_flags", lambda: {"avx2"})
    table = inference.networks_table(request_)
    rows = {row[2]: dict(zip(HEADER, row, strict=True)) for row in table.rows}
    assert {"ternary", "ternary compiled", "torch compiled"} <= rows.keys()
    assert "100.0" in {row["percent of float32"] for row in rows.values()}
    ours, theirs = rows["ternary"], rows["torch compiled"]
    exact_targets = (
        "<= 1e+06: met, <= 28 with amx_bf16: not for this CPU, <= 0: not met, "
        "<= 0 without avx2: not for this CPU, <= 1e+06: met, error <= 2e-05: met, "
        "error <= 1e-12: not met"
    )
    assert rows["ternary compiled"]["target"] == exact_targets
    one_pass = "<= 22 with amx_bf16: not for this CPU"
    if "ternary one pass" in rows:
        assert ours["target"] == exact_targets
        assert rows["ternary one pass"]["target"] == one_pass
    else:
        assert ours["target"] == f"{exact_targets}, one pass {one_pass}"
    assert theirs["target"] == "-"
    # On a CPU with bf16, the table has a row for dense bf16 as well.
    rounding = ("bf16", "one pass")
    exact = [row for engine, row in rows.items() if not any(kind in engine for kind in rounding)]
    assert max(float(row["error of logits"]) for row in exact) < 2e-5
    # Two bits against 32, but float layers and batch norm count on both sides.
    assert float(theirs["weights, MB"]) > 8 * float(ours["weights, MB"])


def test_an_engine_that_did_not_run_meets_no_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the processor has what the target asks for."""
    monkeypatch.setattr(verdict, "cpu_flags", lambda: {"amx_bf16"})
    target = {"percent": 22, "needs": "amx_bf16", "engine": "ternary one pass"}
    of = partial(inference._verdicts, percent=Interval.exactly(20), error=0.0, targets=[target])
    there = ["ternary", "ternary compiled"]
    assert of("ternary", there) == ["one pass <= 22: not measured"]
    assert of("ternary compiled", there) == []
    assert of("ternary one pass", [*there, "ternary one pass"]) == ["<= 22: met"]


@pytest.mark.skipif(runtime() is None, reason="needs a C++ compiler")
def test_what_is_not_installed_is_named(request_: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda _: None)
    monkeypatch.setattr(inference, "PACKAGES", ("torch", "no-such-engine"))
    table = inference.networks_table(request_)
    assert "no-such-engine: not installed." in table.note
    assert "OpenVINO" not in {row[2] for row in table.rows}


def test_without_a_runtime_there_is_nothing_to_measure(
    request_: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, "runtime", lambda: None)
    with pytest.raises(UserError, match="needs a C\\+\\+ compiler"):
        inference.networks_table(request_)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_has_a_table_of_its_own(request_: Config) -> None:
    ((name, table),) = inference.measure({**request_, "networks": []})
    assert name.startswith("linear_on_gpu_")
    rows = [dict(zip(HEADER, row, strict=True)) for row in table.rows]
    ours, float32, _ = rows[:3]
    assert (ours["computed by"], float32["percent of float32"]) == ("ternary Triton", "100.0")
    assert float(ours["error of logits"]) < 1e-5
    assert float(float32["weights, MB"]) > 15 * float(ours["weights, MB"])


def test_one_pass_leaves_the_kernel_as_it_was() -> None:
    class Found:
        kernel = "amx"
        used: ClassVar[list[str]] = []

        def use(self, kernel: str) -> None:
            self.used.append(kernel)

    def fail(_: Tensor) -> Tensor:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        inference._in_one_pass(Found(), fail, torch.zeros(1))
    assert Found.used == ["amx_one_pass", "amx"]


def test_the_claim_finds_its_row() -> None:
    (claim,) = (claim for claim in CLAIMS if claim.id == "forward-time")
    request = compose_config("benchmark_inference", [])
    where = claim.rule.where
    assert where.keys() < set(HEADER)
    assert claim.rule.column in HEADER
    (entry,) = (e for e in request["networks"] if e["title"] == where["network"])
    assert int(where["batch"]) in entry["batches"]
    assert claim.rule.benchmark == "inference"


def test_every_target_is_of_a_network_that_is_measured() -> None:
    request = compose_config("benchmark_inference", [])
    measured = {(e["title"], batch) for e in request["networks"] for batch in e["batches"]}
    assert {(t["network"], t["batch"]) for t in request["targets"]} == measured


def test_every_network_that_is_measured_has_a_bound_on_its_error() -> None:
    request = compose_config("benchmark_inference", [])
    measured = {(e["title"], batch) for e in request["networks"] for batch in e["batches"]}
    bound = {(t["network"], t["batch"]): t["error"] for t in request["targets"] if "error" in t}
    assert bound == dict.fromkeys(measured, 2e-5)
