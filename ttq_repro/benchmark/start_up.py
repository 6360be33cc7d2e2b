"""The time from the start of a Python process to the end of its first training step."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from ttq_repro.runs.config import Config


def seconds_to_first_step(config: Config, cache: Path) -> float:
    """Start a run in a new process and time it until its first step is done.

    Args:
        cache: folder for what is compiled.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    started = time.monotonic()  # One clock for all processes.
    process = context.Process(target=_first_step, args=(config, cache, sender))
    process.start()
    sender.close()
    try:
        return receiver.recv() - started
    finally:
        process.join()


def _first_step(config: Config, cache: Path, sender: Any) -> None:
    # Before torch reads it.
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(cache)
    from ttq_repro.benchmark.training import random_images
    from ttq_repro.data.pipeline import ArraySource
    from ttq_repro.training.fit import fit

    class FirstStep(pl.Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            sender.send(time.monotonic())
            os._exit(0)

    source = ArraySource(random_images(), pad=config["data"]["pad"], flip=config["data"]["flip"])
    fit(
        config,
        source,
        None,
        scratch=cache,
        checkpoint=cache / "last.ckpt",
        loggers=[],
        say=print,
        observers=[FirstStep()],
    )
