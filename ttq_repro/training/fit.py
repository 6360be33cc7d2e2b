"""Training of one run, from its config to its network and history."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins.environments import LightningEnvironment
from torch import nn

from ttq_repro.allocator import keep_freed_memory
from ttq_repro.data.shard import WHOLE, Shard
from ttq_repro.data.source import DataSource
from ttq_repro.quantizers import Decision
from ttq_repro.training.batch_norm import statistics_for_tests
from ttq_repro.training.checkpoint import SealedCheckpointIO
from ttq_repro.training.compilation import Compilation, forget_compiled, is_compiled
from ttq_repro.training.device import device_of
from ttq_repro.training.graphed import classifier
from ttq_repro.training.histograms import weight_histograms
from ttq_repro.training.history import History
from ttq_repro.training.network import (
    attach_quantizer,
    build_network,
    distillation_from,
    restore_float,
)
from ttq_repro.training.parallel import data_parallel
from ttq_repro.training.preflight import LIGHTNING_PRECISIONS, checked
from ttq_repro.training.progress import Progress
from ttq_repro.training.watch import Watch


@dataclass(frozen=True)
class Fitted:
    """The result of training: the network, its history, and how it was trained."""

    network: nn.Module
    decisions: list[Decision]
    history: dict[str, list[float]]
    histograms: dict[str, dict[str, Any]]
    correct: np.ndarray
    warnings: list[str]
    execution: dict[str, Any]


def fit(
    config: dict[str, Any],
    data: DataSource,
    parent: dict[str, torch.Tensor] | None,
    *,
    parent_sha256: str | None = None,
    origin: dict[str, Any] | None = None,
    checkpoint: Path,
    loggers: list[Logger],
    say: Callable[[str], Any],
    shard: Shard = WHOLE,
    observers: Sequence[pl.Callback] = (),
) -> Fitted:
    """Train the run that ``config`` describes, or resume it from ``checkpoint``.

    Args:
        parent: float weights to start from. parent_sha256: their SHA-256, kept in the checkpoint.
        origin: provenance such as commit and processor; a resumed run keeps that of its earlier
            epochs.
        checkpoint: where to resume from, rewritten after every epoch.
        say: called with warnings and lines of progress.
        shard: the shard of this process if several train the run; all of them must call this.
        observers: callbacks that do not influence training.
    """
    recipe, trainer_config = checked(config), config["trainer"]
    distillation = distillation_from(config, parent)
    network = build_network(config, parent)
    decisions = attach_quantizer(network, config)
    # Taken before a checkpoint is loaded, so that a resumed run has the same histograms.
    before = weight_histograms(network)
    network.to(memory_format=torch.channels_last)
    device = device_of(trainer_config["accelerator"], shard)
    if device.type == "cpu":
        keep_freed_memory()
    seed = config["seed"]
    loader = data.train_loader(recipe.batch_size, seed_of_views(seed, parent), shard, device)
    compiled = is_compiled(trainer_config, recipe.epochs * len(loader), device)
    watch = Watch(trainer_config["degenerate"], say)
    compilation = Compilation(device, watch.warn)
    if compiled:
        compilation.apply(network)
    mean, std = data.channel_statistics()
    # Several processes exchange gradients during their passes, which no graph can contain. A shard
    # of several that is timed alone (devices > 1) must not be faster than among the others.
    replayed = shard.world_size == trainer_config["devices"] == 1 and not trainer_config["plain"]
    module = classifier(
        device,
        replayed=replayed,
        warn=watch.warn,
        network=network,
        recipe=recipe,
        mean=mean,
        std=std,
        seed=seed,
        shard=shard,
        distillation=distillation,
    )
    origin = (origin or {}) | {"device": _name(device), "threads": torch.get_num_threads()}
    history = History(len(loader), origin)
    callbacks: list[pl.Callback] = [
        history,
        watch,
        *statistics_for_tests(config["reestimate_batch_norm"], len(loader)),
        ModelCheckpoint(
            dirpath=checkpoint.parent,
            filename=checkpoint.stem,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        ),
        *observers,
    ]
    if (progress := trainer_config["progress"]) and shard.rank == 0:
        callbacks.append(Progress(lines=progress == "lines", say=say))
    # True float32: by default cuDNN uses TF32, which rounds inputs to 10 bits.
    torch.backends.cudnn.allow_tf32 = False
    with _advice_ignored():
        trainer = _trainer(
            trainer_config,
            shard,
            # Left to itself, Lightning might take one that we have not prepared for, such as MPS.
            accelerator=device.type,
            max_epochs=recipe.epochs,
            logger=loggers,
            callbacks=callbacks,
            # In a Slurm job, Lightning would otherwise use the job's tasks as its processes.
            plugins=[SealedCheckpointIO(parent_sha256), LightningEnvironment()],
            default_root_dir=checkpoint.parent,
        )
        try:
            trainer.fit(
                module,
                loader,
                data.test_loader(shard, device),
                ckpt_path=checkpoint if checkpoint.is_file() else None,
                weights_only=True,
            )
        except SystemExit:
            # Lightning turns Ctrl-C and SIGTERM into SystemExit, the latter even with code 0.
            raise KeyboardInterrupt from None
        finally:
            if compiled:
                forget_compiled()
    after = weight_histograms(network)
    restore_float(network)
    return Fitted(
        network=network,
        decisions=decisions,
        history=history.metrics,
        correct=history.correct.numpy(),
        warnings=list(watch.warnings.values()),
        histograms={name: {"before": before[name], "after": after[name]} for name in before},
        execution={
            **origin,
            "seconds": round(sum(stint["seconds"] for stint in history.stints), 1),
            "earlier": history.stints[:-1],
            "accelerator": type(trainer.accelerator).__name__,
            "processes": shard.world_size,
            "precision": trainer_config["precision"],
            "compiled": compiled and compilation.failure is None,
            "graphed": module.graphed,
            "data_source": data.source,
            "train_images": data.train_images,
            # The sum of three or more gradients depends on their order, which a resume may change.
            "deterministic": device.type == "cpu" and shard.world_size <= 2,
        },
    )


def seed_of_views(seed: int, parent: object | None) -> int:
    """The seed of the order and the augmentation of a run's images.

    With ``seed`` itself, which its parent had, a run with a parent would only see again what its
    parent was trained on, batch by batch.
    """
    if parent is None:
        return seed
    return int(np.random.SeedSequence(seed, spawn_key=(1,)).generate_state(1)[0])


@contextmanager
def _advice_ignored() -> Iterator[None]:
    """Silences what Lightning advises but does not apply.

    Batches are made in the main process on purpose, metrics are logged once per epoch and already
    summed over processes, the checkpoint's folder may exist, and we start the processes ourselves.
    """
    for library in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(library).setLevel(logging.WARNING)
    with warnings.catch_warnings():
        for advice in (
            "many workers",
            "smaller than the logging interval",
            "sync_dist=True",
            "Checkpoint directory",
            "`srun` command",
            "broadcast_buffers",  # Not all supported versions have its successor yet.
            "LeafSpec",
        ):
            warnings.filterwarnings("ignore", message=f".*{advice}.*")
        yield


def _trainer(config: dict[str, Any], shard: Shard, **arguments: Any) -> pl.Trainer:
    """A Lightning trainer for a ``configs/trainer`` node."""
    return pl.Trainer(
        **data_parallel(shard),
        precision=LIGHTNING_PRECISIONS[config["precision"]],
        # All batches but an epoch's last have one shape, so cuDNN tries out its algorithms once.
        benchmark=True,
        num_sanity_val_steps=0,
        enable_progress_bar=False,  # We have our own, which counts epochs.
        enable_model_summary=False,
        log_every_n_steps=10**9,
        use_distributed_sampler=False,
        **arguments,
    )


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
