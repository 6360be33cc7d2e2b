"""The record of a run that has just been trained."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from torch import nn

from ttq_repro.runs.outcome import record_of
from ttq_repro.runs.run import Run
from ttq_repro.runs.train import data_of
from ttq_repro.runs.workspace import Workspace
from ttq_repro.training.fit import Fitted


def test_a_record_sums_up_the_errors_of_its_epochs(tiny_run: Callable[..., Run]) -> None:
    run = tiny_run()
    fitted = Fitted(
        network=nn.Linear(1, 1),
        decisions=[],
        history={"test_error": [0.9, 0.1, *[0.5] * 12, 0.3, 0.4]},
        histograms={},
        correct=np.zeros(10, bool),
        warnings=[],
        execution={},
    )
    record = record_of(run, data_of(run, Workspace.of(run.config)), fitted, None, "", [])
    assert record.test_error == pytest.approx(
        {"final": 0.4, "best": 0.1, "trailing": 0.35, "trailing_epochs": 2}
    )
