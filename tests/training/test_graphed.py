"""A GPU's replayed step against the usual one; on a CPU, a stand-in calls the step again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, fx

from tests.training import sharing
from tests.training.sharing import BATCH, DISTILLED, SAMPLED, TRAIN, config_of
from ttq_repro.cuda_graph import WARM_UP_CALLS
from ttq_repro.runs.execute import execute
from ttq_repro.runs.run import Run
from ttq_repro.runs.workspace import Workspace
from ttq_repro.training import compilation, fit, graphed
from ttq_repro.training.compilation import Compilation
from ttq_repro.training.fit import Fitted
from ttq_repro.training.graphed import GraphedClassifier, classifier
from ttq_repro.training.module import Classifier
from ttq_repro.training.network import quantized_network
from ttq_repro.training.optimization import Recipe

#: As in tests.conftest.TINY.
EPOCHS = 2
METHODS = (
    *("full_precision", "ttq", SAMPLED, DISTILLED, "deep_compression"),
    "ttq reestimate_batch_norm=2",
)
WARNED: list[str] = []
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def repeated(function: Callable[..., Tensor], *example: Tensor) -> Callable[..., Tensor]:
    """As :func:`capture`, but each replay is a call, which writes where the first one wrote.

    That includes gradients, where the optimizer and the next replay expect them.
    """
    module: Any = function.__self__  # type: ignore[attr-defined]
    inputs = [given.clone() for given in example]
    for _ in range(WARM_UP_CALLS):
        function(*inputs)
    result = function(*inputs)
    parameters = list(module.parameters())
    gradients = [parameter.grad for parameter in parameters]
    is_training = module.training

    def replay(*given: Tensor) -> Tensor:
        found = [parameter.grad for parameter in parameters]
        assert all(own is kept for own, kept in zip(found, gradients, strict=True))
        assert module.training == is_training
        for kept, new in zip(inputs, given, strict=True):
            kept.copy_(new)
        result.copy_(function(*inputs))
        for parameter, kept in zip(parameters, gradients, strict=True):
            if parameter.grad is not kept:
                kept.copy_(parameter.grad)
                parameter.grad = kept
        return result

    return replay


def trained(method: str, folder: Path, **trainer: Any) -> Fitted:
    config = config_of(method)
    config["trainer"] |= {"accelerator": "cpu"} | trainer
    return sharing.trained(config, folder)


def without_seconds(history: dict[str, list[float]]) -> dict[str, list[float]]:
    return {name: values for name, values in history.items() if name != "seconds"}


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> list[GraphedClassifier]:
    """Makes the CPU train as a GPU does; returns the modules that are made for it."""
    made: list[GraphedClassifier] = []
    WARNED.clear()

    def graphed_on_cpu(**arguments: Any) -> GraphedClassifier:
        made.append(GraphedClassifier(**arguments, warn=WARNED.append))
        return made[-1]

    monkeypatch.setattr(graphed, "Classifier", graphed_on_cpu)
    monkeypatch.setattr(graphed, "capture", repeated)
    return made


@pytest.mark.parametrize("method", METHODS)
def test_the_replayed_step_is_the_step(
    method: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    usual = trained(method, tmp_path / "usual")
    made = request.getfixturevalue("stand_in")
    replayed = trained(method, tmp_path / "replayed")
    assert made[0].graphed
    assert without_seconds(replayed.history) == without_seconds(usual.history)
    state = usual.network.state_dict()
    for name, value in replayed.network.state_dict().items():
        assert torch.equal(value, state[name]), name


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize(("method", "times"), [("ttq", 1), ("deep_compression", EPOCHS)])
def test_graphs_are_recorded_anew_where_an_epoch_changes_what_they_know(
    method: str, times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = []

    def capture(function: Callable[..., Tensor], *example: Tensor) -> Callable[..., Tensor]:
        recorded.append(function.__self__.training)  # type: ignore[attr-defined]
        return repeated(function, *example)

    monkeypatch.setattr(graphed, "capture", capture)
    trained(method, tmp_path)
    assert recorded.count(True) == times


@pytest.mark.usefixtures("stand_in")
def test_the_short_last_batch_is_not_worth_compiling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def backend(graph: fx.GraphModule, inputs: list[Any], **_: Any) -> Callable[..., Any]:
        sizes.extend(len(one) for one in inputs if isinstance(one, Tensor) and one.dim() == 4)
        return graph.forward

    monkeypatch.setattr(compilation, "lookup_backend", lambda _: backend)
    torch.compiler.reset()
    assert trained("full_precision", tmp_path, compile=True).execution["compiled"]
    assert BATCH in sizes
    assert TRAIN % BATCH not in sizes


def test_a_plain_run_is_neither_compiled_nor_replayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def made(_: torch.device, **arguments: Any) -> Classifier:
        asked.append(arguments.pop("replayed"))
        del arguments["warn"]
        return Classifier(**arguments)

    monkeypatch.setattr(fit, "classifier", made)
    usual = trained("ttq", tmp_path / "usual")
    plain = trained("ttq", tmp_path / "plain", plain=True, compile=True)
    assert asked == [True, False]
    assert not plain.execution["compiled"]
    assert without_seconds(plain.history) == without_seconds(usual.history)


def test_a_teacher_is_replayed_along(
    tiny_run: Callable[..., Run], request: pytest.FixtureRequest
) -> None:
    run = tiny_run("quantizer=seq", "parent=auto", "distillation={weight: 0.9, temperature: 4}")
    usual = execute(run)
    workspace = Workspace.of(run.config)
    workspace.record(run).unlink()
    made = request.getfixturevalue("stand_in")
    assert execute(run).weights_sha256 == usual.weights_sha256
    assert made[-1].graphed


@pytest.mark.usefixtures("stand_in")
def test_a_step_that_cannot_be_recorded_is_launched_as_usual(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = trained("ttq", tmp_path / "usual")

    def fail(function: Callable[..., Tensor], *example: Tensor) -> Callable[..., Tensor]:
        function(*example)
        raise RuntimeError("operation not permitted when stream is capturing\nand advice")

    monkeypatch.setattr(graphed, "capture", fail)
    replayed = trained("ttq", tmp_path / "replayed")
    assert WARNED == [
        "no CUDA graph, kernels are launched one by one: RuntimeError: operation not permitted "
        "when stream is capturing"
    ]
    assert without_seconds(replayed.history) == without_seconds(usual.history)


@on_gpu
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_on_a_gpu_as_on_the_cpu(method: str, compiled: bool, tmp_path: Path) -> None:
    torch.compiler.reset()
    on_cpu = trained(method, tmp_path / "cpu")
    on_gpu = trained(method, tmp_path / "gpu", accelerator="gpu", compile=compiled)
    assert on_gpu.execution["graphed"]
    assert on_gpu.execution["compiled"] == compiled
    assert on_gpu.execution["accelerator"] == "CUDAAccelerator"
    if method == SAMPLED:
        return  # On a GPU its samples come from a different generator.
    # Later losses diverge, as rounding moves some weights over the threshold.
    first = [fitted.history["train_loss"][0] for fitted in (on_gpu, on_cpu)]
    assert first[0] == pytest.approx(first[1], rel=1e-3)
    tested = [fitted.history["test_loss"][0] for fitted in (on_gpu, on_cpu)]
    assert tested[0] == pytest.approx(tested[1], rel=0.1)


@on_gpu
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("method", ["full_precision", "ttq", "ttq_sparsity", "twn", "seq"])
def test_gradients_on_a_gpu_are_those_of_the_cpu(method: str, compiled: bool) -> None:
    torch.backends.cudnn.allow_tf32 = False
    torch.compiler.reset()
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (BATCH, 3, 32, 32), generator=generator, dtype=torch.uint8)
    labels = torch.arange(BATCH) % 10
    found = []
    for device in ("cpu", "cuda"):
        config = config_of(method)
        network = quantized_network(config)
        if compiled and device == "cuda":
            Compilation(torch.device(device), pytest.fail).apply(network)
        half = np.full(3, 0.5)
        module = classifier(
            torch.device(device),
            replayed=True,
            warn=pytest.fail,
            network=network,
            recipe=Recipe(**config["recipe"]),
            mean=half,
            std=half,
            seed=1,
        ).to(device)
        for _ in range(2):  # The second step replays what the first one recorded.
            loss = module.training_step((images.to(device), labels.to(device)), 0)
            module.optimizer_zero_grad(0, 0, torch.optim.SGD(module.parameters()))
            module.backward(loss)
        found.append({name: p.grad.double().cpu() for name, p in network.named_parameters()})
    for name, expected in found[0].items():
        # Not element by element: if the input of a ReLU is close to zero, rounding decides.
        error = (found[1][name] - expected).norm() / expected.norm()
        assert error < 0.05, name


@on_gpu
def test_a_step_that_waits_for_the_gpu_trains_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss_of = GraphedClassifier.loss_of

    def waiting(self: GraphedClassifier, inputs: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        loss = loss_of(self, inputs, logits, labels)
        assert loss.item() > 0
        return loss

    expected = trained("ttq", tmp_path / "graphed", accelerator="gpu")
    monkeypatch.setattr(GraphedClassifier, "loss_of", waiting)
    fitted = trained("ttq", tmp_path / "waiting", accelerator="gpu")
    assert not fitted.execution["graphed"]
    assert "no CUDA graph" in fitted.warnings[0]
    assert fitted.history["train_loss"] == pytest.approx(expected.history["train_loss"], rel=1e-2)
