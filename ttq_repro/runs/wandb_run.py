"""Runs in wandb: opened during training, and again to add what is made of them later."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ttq_repro.errors import UserError, headline
from ttq_repro.files import sha256
from ttq_repro.runs.record import Record
from ttq_repro.runs.run import Run
from ttq_repro.runs.workspace import Workspace

if TYPE_CHECKING:
    import wandb


def has_key(workspace: Workspace) -> bool:
    """Whether wandb finds an API key for its server, in any place where it looks for one.

    Unlike ``wandb.login(verify=False)``, which asks the server for the user's name, this sends
    nothing.

    Args:
        workspace: as in :func:`start`.

    Raises:
        UserError: it finds something that is not a key.
    """
    _keep_to(workspace)
    import wandb
    from wandb.sdk import wandb_setup
    from wandb.sdk.lib import wbauth

    server = wandb_setup.singleton().settings.base_url
    try:
        key = wbauth.authenticate_session(
            host=server, source="has_key", prompt=False, update_session=False
        )
    except wandb.Error as error:
        raise UserError(headline(error)) from None
    return key is not None


def start(workspace: Workspace, **options: Any) -> wandb.Run:
    """Start or resume a run in wandb.

    Args:
        workspace: its cache holds the files that wandb would put into the home folder.
        options: those of ``wandb.init``.

    Raises:
        wandb.Error: the server is unreachable or refuses it.
    """
    _keep_to(workspace)
    import wandb

    settings = wandb.Settings(silent=True, console="off")
    return wandb.init(settings=settings, **options)


@contextmanager
def finishing(wandb_run: wandb.Run) -> Iterator[wandb.Run]:
    """Finish a run in wandb at the end: as failed if there is an exception, Ctrl-C included.

    As a context manager, the run itself would print the exception with its traceback.
    """
    try:
        yield wandb_run
    except BaseException:
        wandb_run.finish(exit_code=1)
        raise
    wandb_run.finish()


def wandb_id(identity: str, seed: int) -> str:
    """The ID of a run in wandb, also the name of its network."""
    return f"{identity}-seed{seed}"


def link_trained(wandb_run: wandb.Run, run: Run, workspace: Workspace) -> None:
    """Upload the network of a run to wandb, linked to the one that it was trained from.

    Online only: wandb cannot link an artifact to an offline run.

    Raises:
        wandb.Error: the server is unreachable or refuses it.
    """
    if wandb_run.offline:
        return
    if run.parent is not None:
        name = wandb_id(run.parent.identity, run.parent.seed)
        wandb_run.use_artifact(_artifact(name, workspace.weights(run.parent)))
    elif run.config["parent"] != "none":
        path = Path(run.config["parent"])
        # The file's name may have characters that wandb does not accept.
        wandb_run.use_artifact(_artifact(f"parent-{sha256(path)[:12]}", path))
    wandb_run.log_artifact(_artifact(wandb_run.id, workspace.weights(run)))


def link_packed(record: Record, weights: Path, packed: Path, workspace: Workspace) -> None:
    """Upload a packed network to the run in wandb whose ``weights`` it was packed from.

    Raises:
        UserError: wandb has no such run, or cannot be reached.
    """
    import wandb

    name, project = wandb_id(record.identity, record.seed), record.config["logger"]["project"]
    place = workspace.outputs
    place.mkdir(parents=True, exist_ok=True)
    try:
        with finishing(
            start(workspace, project=project, id=name, mode="online", dir=place, resume="must")
        ) as wandb_run:
            wandb_run.use_artifact(_artifact(name, weights))
            wandb_run.log_artifact(_artifact(f"{name}-packed", packed))
    except wandb.Error as error:
        raise UserError(f"link=true: {headline(error)}") from None


def _keep_to(workspace: Workspace) -> None:
    """Keep wandb's caches in ``workspace`` and disable its error reports; it reads this once."""
    # Error reports are the only thing that wandb sends in offline mode.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    # Not the folder of its settings, where `wandb login` stores the server's address.
    for kind in ("CACHE", "DATA"):
        os.environ.setdefault(f"WANDB_{kind}_DIR", str(workspace.cache / "wandb"))


def _artifact(name: str, path: Path) -> wandb.Artifact:
    """A network file as an artifact, which wandb does not store twice if its content is known."""
    import wandb

    artifact = wandb.Artifact(name, type="model")
    artifact.add_file(str(path), policy="immutable")
    return artifact
