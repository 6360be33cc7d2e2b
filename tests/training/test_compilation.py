"""Which runs are compiled; one that does not compile trains all the same, and says so."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from ttq_repro.runs.execute import execute
from ttq_repro.runs.run import Run
from ttq_repro.training.compilation import is_worth_compiling


def test_without_a_compiler_the_run_goes_on(tiny_run: Callable[..., Run]) -> None:
    said: list[str] = []
    run = tiny_run("quantizer=ttq", "recipe.epochs=1", "trainer.compile=true")
    no_compiler = {"cpp.cxx": ("no-such-compiler",), "force_disable_caches": True}
    with torch._inductor.config.patch(no_compiler):
        record = execute(run, say=said.append)
    (warning,) = record.warnings
    assert warning.startswith("compiling failed, the network runs uncompiled: ")
    assert said.count(f"{run.name}: warning: {warning}") == 1
    assert record.provenance["compiled"] is False
    torch.compiler.reset()
    eager = run.config | {"trainer": run.config["trainer"] | {"compile": False}}
    eager["workspace"] += "/eager"
    assert record.weights_sha256 == execute(Run(eager)).weights_sha256


@pytest.mark.parametrize(("device", "steps"), [("cpu", 2000), ("cuda", 30_000)])
def test_long_runs_are_worth_compiling(device: str, steps: int) -> None:
    assert is_worth_compiling(steps, torch.device(device))
    assert not is_worth_compiling(steps - 1, torch.device(device))
