"""The device that trains is the one that everything else was prepared for."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytorch_lightning.accelerators.mps import MPSAccelerator

from tests.training.sharing import config_of, trained


def test_no_device_is_taken_that_was_not_prepared_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning would take Apple's GPU before any other."""
    monkeypatch.setattr(MPSAccelerator, "is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    config = config_of("ttq")
    config["trainer"]["accelerator"] = "auto"
    assert trained(config, tmp_path).execution["accelerator"] == "CPUAccelerator"
