"""Checks of a run's options, before hours are spent on it or on its parent."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ttq_repro.checks import check_choice, check_option, check_whole
from ttq_repro.data.node import image_size
from ttq_repro.data.shard import SMALLEST
from ttq_repro.errors import UserError, as_user_error, headline
from ttq_repro.training.batch_norm import batch_norms
from ttq_repro.training.network import attach_quantizer, build_network, distillation_from
from ttq_repro.training.optimization import Recipe, optimizer_and_schedule
from ttq_repro.training.watch import REACTIONS

#: In place of the number of batches per epoch, which depends on data that is not loaded here.
SOME_BATCHES = 1000
#: Lightning's names of the precisions that a run can train in.
LIGHTNING_PRECISIONS: dict[str, Any] = {"bf16": "bf16-mixed", "fp32": "32-true"}


def checked(config: dict[str, Any]) -> Recipe:
    """Check the options of a run, and return its recipe.

    Raises:
        UserError: an option of the recipe, trainer, data or batch norm is invalid, or asks for a
            device that this machine lacks.
    """
    trainer, recipe = config["trainer"], config["recipe"]
    for key, choices in (
        ("precision", LIGHTNING_PRECISIONS),
        ("degenerate", REACTIONS),
        ("progress", (True, False, "lines")),
        ("compile", (True, False, "auto")),
        ("plain", (True, False)),
    ):
        check_option(f"trainer.{key}", trainer[key], check_choice, choices)
    check_option("trainer.workers", trainer["workers"], check_whole, 0)
    # Data sets of photographs do not have this option.
    check_option("data.pad", config["data"].get("pad", 0), check_whole, 0)
    if (batches := config["reestimate_batch_norm"]) is not None:
        check_option("reestimate_batch_norm", batches, check_whole, 1)
    here = ("auto", "gpu", "cpu") if torch.cuda.is_available() else ("auto", "cpu")
    if (asked := trainer["accelerator"]) not in here:
        raise UserError(
            f"trainer.accelerator={asked}: no such device; choose from {', '.join(here)}"
        )
    for part in ("optimizer", "schedule"):
        node = recipe[part]
        if not isinstance(node, dict) or "_target_" not in node:
            raise UserError(f"recipe.{part}={node}: must name a class as its _target_")
    try:
        return Recipe(**recipe)
    except (TypeError, KeyError) as error:
        told = headline(error).removeprefix("Recipe.__init__() ")
        raise UserError(f"recipe: {told}") from None


def preflight(config: dict[str, Any]) -> None:
    """Check a run's options, and build everything they describe from random weights.

    Raises:
        UserError: an option is invalid, the run's network, quantizer, teacher, optimizer or
            schedule cannot be made, or the network does not map its images to logits.
    """
    recipe = checked(config)
    network = build_network(config, None)
    size, classes = image_size(config["data"]), config["data"]["num_classes"]
    check_shapes(network, size, classes)
    # Some networks return more in training, such as the logits of auxiliary classifiers.
    check_shapes(network, size, classes, images=SMALLEST, training=True)
    if recipe.batch_size < SMALLEST:
        _check_single_images(network, size)
    if config["reestimate_batch_norm"] is not None and not batch_norms(network):
        raise UserError("reestimate_batch_norm: the network has no batch norm to re-estimate")
    distillation_from(config, None if config["parent"] == "none" else network.state_dict())
    attach_quantizer(network, config)
    _check_steps(optimizer_and_schedule(network, recipe, steps=SOME_BATCHES * recipe.epochs))


@torch.no_grad()
def check_shapes(
    network: nn.Module,
    size: tuple[int, int],
    classes: int,
    *,
    images: int = 1,
    training: bool = False,
) -> None:
    """Check that a network maps images of a size, (height, width), to logits of ``classes``.

    Args:
        images: how many at once.
        training: whether in training, which updates running statistics, or in evaluation.

    Raises:
        UserError: it fails on them, or returns something else.
    """
    height, width = size
    before = network.training
    try:
        logits = network.train(training)(torch.zeros(images, 3, height, width))
    except Exception as error:  # The class may be the user's.
        told = headline(error, with_class=not isinstance(error, RuntimeError))
        raise UserError(f"model: it cannot take images of {height} x {width}: {told}") from None
    finally:
        network.train(before)
    found, wanted = tuple(getattr(logits, "shape", ())), (images, classes)
    if found != wanted:
        given = "one image" if images == 1 else f"{images} images"
        where = " in training" if training else ""
        told = f"an output of shape {found}" if found else f"a {type(logits).__name__}"
        raise UserError(f"model: for {given}{where} it returns {told}, not {wanted}")


def _check_steps(built: dict[str, Any]) -> None:
    """Check that an optimizer and its schedule can make a step.

    Raises:
        UserError: one of them cannot.
    """
    with as_user_error("recipe.optimizer"):
        # As Lightning does, give it a function that computes the loss.
        built["optimizer"].step(closure=lambda: torch.zeros(()))
    with as_user_error("recipe.schedule"):
        built["lr_scheduler"]["scheduler"].step()


def _check_single_images(network: nn.Module, size: tuple[int, int]) -> None:
    """Check that a network can train on one image at a time, as batch norm of (1, features) cannot.

    Raises:
        UserError: it cannot.
    """
    try:
        network.train()(torch.zeros(1, 3, *size))
    except ValueError as error:
        raise UserError(f"recipe.batch_size=1: {headline(error)}") from None
