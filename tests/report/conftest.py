"""What tests of reports share."""

from pathlib import Path

import pytest

from ttq_repro.runs.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """An empty one."""
    return Workspace(tmp_path)
