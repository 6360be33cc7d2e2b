"""Where wandb finds a key to its server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import wandb
from wandb.sdk import wandb_setup
from wandb.sdk.lib import urls, wbauth

from ttq_repro.errors import UserError
from ttq_repro.runs.wandb_run import has_key
from ttq_repro.runs.workspace import Workspace

KEY = "0" * 40


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """That of a user who has not logged in, in a process that has not set up wandb."""
    for name in ("API_KEY", "BASE_URL", "MODE", "CONFIG_DIR"):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    for name in ("CACHE", "DATA"):  # Otherwise the code under test would set them for good.
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("NETRC", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    wandb.teardown()  # wandb reads its settings only once.
    yield Workspace(tmp_path)
    wandb.teardown()


def log_in(server: str) -> None:
    """Write what ``wandb login --host`` does, which would also ask the server for the user."""
    wbauth.write_netrc_auth(host=server, api_key=KEY)
    settings = wandb_setup.singleton().settings.read_system_settings()
    settings.set("base_url", server, globally=True)
    settings.save()
    wandb.teardown()


@pytest.mark.parametrize("server", [urls.DEFAULT_BASE_URL, "https://wandb.example.org:8080"])
@pytest.mark.parametrize("netrc", [None, "logins"])
def test_the_key_of_a_login_counts(
    server: str, netrc: str | None, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not has_key(workspace)
    if netrc is not None:
        monkeypatch.setenv("NETRC", str(workspace.root / netrc))
    log_in(server)
    assert (workspace.root / (netrc or ".netrc")).is_file()
    assert has_key(workspace)


def test_the_key_to_another_server_is_none(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(urls.DEFAULT_BASE_URL)
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert not has_key(workspace)


def test_looking_for_a_key_is_quiet_and_leaves_wandb_as_it_was(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert has_key(workspace), "a run's own mode goes first"
    assert capfd.readouterr() == ("", "")
    assert wbauth.session_credentials(host=urls.DEFAULT_BASE_URL) is None


def test_what_is_no_key_is_told(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "mine")
    with pytest.raises(UserError, match=r"^WANDB_API_KEY invalid: .*40\+ characters"):
        has_key(workspace)
