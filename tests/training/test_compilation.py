"""Which runs are compiled; one that fails to compile trains uncompiled, with a warning."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from functorch.compile import make_boxed_func
from torch import Tensor, fx, nn
from torch._dynamo.backends.common import aot_autograd

from ttq_repro.runs.execute import execute
from ttq_repro.runs.run import Run
from ttq_repro.training import compilation
from ttq_repro.training.compilation import Compilation, is_compiled


def test_without_a_compiler_a_network_runs_all_the_same() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2))
    image = torch.randn(2, 3, 4, 4)

    def outputs_and_gradients() -> list[Tensor]:
        outputs = network(image)
        return [outputs, *torch.autograd.grad(outputs.square().sum(), [*network.parameters()])]

    eager = outputs_and_gradients()
    said: list[str] = []
    Compilation(torch.device("cpu"), said.append).apply(network)
    no_compiler = {"cpp.cxx": ("no-such-compiler",), "force_disable_caches": True}
    torch.compiler.reset()
    with torch._inductor.config.patch(no_compiler):
        uncompiled = outputs_and_gradients()
    assert all(map(torch.equal, uncompiled, eager))
    (warning,) = said
    assert warning.startswith("compiling failed, the network runs uncompiled: ")


def test_each_size_of_batch_keeps_its_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a resumed run would use another one than the run that was not interrupted.

    That compiles for any size once it has seen two, with other loops and other roundings.
    """
    used: list[int] = []
    graphs: list[fx.GraphModule] = []

    def backend(graph: fx.GraphModule, *_: Any, **__: Any) -> Callable[..., Any]:
        number = len(graphs)
        graphs.append(graph)

        def run(*inputs: Any) -> Any:
            used.append(number)
            return graph.forward(*inputs)

        return run

    monkeypatch.setattr(compilation, "lookup_backend", lambda _: backend)
    torch.compiler.reset()
    network = nn.Linear(2, 3)
    Compilation(torch.device("cpu"), pytest.fail).apply(network)
    for batch in (4, 3, 4):
        network(torch.zeros(batch, 2))
    assert used == [0, 1, 0]


@pytest.mark.parametrize("ours", [True, False])
def test_a_library_that_a_killed_compiler_left_incomplete_is_compiled_again(
    ours: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "compiled"
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(cache))
    library = (cache if ours else tmp_path) / "nb" / "kernel.main.so"
    library.parent.mkdir(parents=True)
    library.touch()

    def backend(graph: fx.GraphModule, *_: Any, **__: Any) -> Callable[..., Any]:
        if library.exists():
            ctypes.CDLL(str(library))
        return graph.forward

    monkeypatch.setattr(compilation, "lookup_backend", lambda _: backend)
    torch.compiler.reset()
    network, said = nn.Hardswish(), list[str]()
    Compilation(torch.device("cpu"), said.append).apply(network)
    assert network(torch.zeros(3)).tolist() == [0, 0, 0]
    assert library.exists() == bool(said) == (not ours)


def test_a_backward_pass_that_does_not_compile_is_computed_uncompiled(
    tiny_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forward_compiler(graph: fx.GraphModule, _: list[Any]) -> Callable[..., Any]:
        return make_boxed_func(graph.forward)

    def backward_compiler(*_: Any) -> Callable[..., Any]:
        raise OSError("No space left on device")

    def backend(graph: fx.GraphModule, inputs: list[Any], **_: Any) -> Callable[..., Any]:
        return aot_autograd(fw_compiler=forward_compiler, bw_compiler=backward_compiler)(
            graph, inputs
        )

    monkeypatch.setattr(compilation, "lookup_backend", lambda _: backend)
    torch.compiler.reset()
    said: list[str] = []
    run = tiny_run("quantizer=ttq", "recipe.epochs=1", "trainer.compile=true")
    record = execute(run, say=said.append)
    assert record.provenance["compiled"] is False
    (warning,) = record.warnings
    assert warning.endswith("No space left on device")
    assert said.count(f"{run.name}: warning: {warning}") == 1
    eager = run.config | {"trainer": run.config["trainer"] | {"compile": False}}
    eager["workspace"] += "/eager"
    assert record.weights_sha256 == execute(Run(eager)).weights_sha256


def test_runs_of_one_process_are_compiled_each(
    tiny_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dynamo compiles the code of a class only a few times, over all networks, then gives up."""
    compiled = []
    monkeypatch.setattr(compilation, "lookup_backend", lambda _: counted)

    def counted(graph: fx.GraphModule, *_: Any, **__: Any) -> Callable[..., Any]:
        compiled[-1] += 1
        return graph.forward

    def train(depth: int) -> None:
        compiled.append(0)
        execute(tiny_run(f"model.depth={depth}", "recipe.epochs=1", "trainer.compile=true"))

    torch.compiler.reset()
    train(8)
    with torch._dynamo.config.patch(recompile_limit=compiled[0]):
        train(14)
    assert compiled[1] == compiled[0] > 0


@pytest.mark.parametrize(("device", "steps"), [("cpu", 2000), ("cuda", 60_000)])
def test_long_runs_are_worth_compiling(device: str, steps: int) -> None:
    trainer, there = {"compile": "auto", "plain": False}, torch.device(device)
    assert is_compiled(trainer, steps, there)
    assert not is_compiled(trainer, steps - 1, there)
    assert is_compiled(trainer | {"compile": True}, 1, there)
    assert not is_compiled(trainer | {"compile": False}, steps, there)
    assert not is_compiled(trainer | {"compile": True, "plain": True}, steps, there)
