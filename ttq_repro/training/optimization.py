"""Recipes: optimizer, schedule, and which parameters decay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from torch import nn
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    ConstantLR,
    LRScheduler,
    ReduceLROnPlateau,
)

from ttq_repro.checks import check_choice, check_list, check_number, check_option, check_whole
from ttq_repro.errors import UserError, as_user_error
from ttq_repro.instantiation import instantiated
from ttq_repro.quantizers import parameter_groups

DROPS = "torch.optim.lr_scheduler.MultiStepLR"
ONE_CYCLE = "torch.optim.lr_scheduler.OneCycleLR"
DECAYED: dict[str, tuple[type[nn.Module], ...]] = {"all": (nn.Module,), "linear": (nn.Linear,)}


@dataclass(frozen=True)
class Recipe:
    """A recipe node of the configs.

    Raises:
        UserError: an option is invalid.
        KeyError: the learning rate, its maximum or the list of drops is missing.

    Attributes:
        optimizer, schedule: ``_target_`` and keyword arguments of a torch class. Schedules count
            in epochs, except ``OneCycleLR``, which moves every step.
        decay: the layers that weight decay applies to: ``"all"`` or only the ``"linear"`` ones.
        warm_up: ``lr`` of the first ``epochs``, before a schedule of drops; None for no warm-up.
    """

    name: str
    parent: str
    epochs: int
    batch_size: int
    optimizer: dict[str, Any]
    schedule: dict[str, Any]
    decay: Literal["all", "linear"] = "all"
    warm_up: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        for key in ("epochs", "batch_size"):
            check_option(f"recipe.{key}", getattr(self, key), check_whole, 1)
        _check_rate("recipe.optimizer.lr", self.optimizer["lr"])
        if self.schedule["_target_"] == DROPS:
            drops = self.schedule["milestones"]
            check_option("recipe.schedule.milestones", drops, check_list, may_be_empty=True)
            for epoch in drops:
                check_option("recipe.schedule.milestones", epoch, check_whole, 0)
        if self.schedule["_target_"] == ONE_CYCLE:
            _check_rate("recipe.schedule.max_lr", self.schedule["max_lr"])
        check_option("recipe.decay", self.decay, check_choice, DECAYED)
        if self.warm_up is not None:
            self._check_warm_up(self.warm_up)

    def _check_warm_up(self, warm_up: Any) -> None:
        if not isinstance(warm_up, dict) or set(warm_up) != {"epochs", "lr"}:
            raise UserError(f"recipe.warm_up={warm_up}: must consist of epochs and lr")
        epochs, rate, highest = warm_up["epochs"], warm_up["lr"], self.optimizer["lr"]
        check_option("recipe.warm_up.epochs", epochs, check_whole, 1, self.epochs)
        check_option("recipe.warm_up.lr", rate, check_number)
        if not 0 < rate <= highest:
            raise UserError(
                f"recipe.warm_up.lr={rate}: must be above 0, at most recipe.optimizer.lr={highest}"
            )
        # ChainedScheduler needs schedules that multiply the rate, as drops do; others may set it.
        has_drops = self.schedule["_target_"] == DROPS
        if not has_drops or min(self.schedule["milestones"], default=epochs) < epochs:
            raise UserError(
                f"recipe.warm_up={warm_up}: needs MultiStepLR with no drop before the warm-up ends"
            )


def _check_rate(key: str, rate: Any) -> None:
    check_option(key, rate, check_number)
    if rate < 0:
        raise UserError(f"{key}={rate}: must not be negative")


def optimizer_and_schedule(network: nn.Module, recipe: Recipe, steps: int) -> dict[str, Any]:
    """Optimizer and learning-rate schedule in the form that Lightning expects.

    Each parameter has the learning rate and weight decay of :func:`parameter_groups`;
    ``recipe.decay`` chooses the layers that decay.

    Raises:
        UserError: there is no such class, it refuses its arguments, or the schedule follows errors.
    """
    every_step = recipe.schedule["_target_"] == ONE_CYCLE
    # One cycle does not scale the optimizer's rates, but takes the highest ones as an argument.
    lr = recipe.schedule["max_lr"] if every_step else recipe.optimizer["lr"]
    decay = recipe.optimizer.get("weight_decay", 0.0)
    groups = parameter_groups(network, lr, decay, DECAYED[recipe.decay])
    own = {"total_steps": steps, "max_lr": [g["lr"] for g in groups]} if every_step else {}
    make_optimizer = instantiated("recipe.optimizer", recipe.optimizer, _partial_=True)
    make_schedule = instantiated("recipe.schedule", recipe.schedule, _partial_=True)
    with as_user_error(f"recipe {recipe.name}"):
        optimizer = make_optimizer(groups)
        schedule: LRScheduler = make_schedule(optimizer, **own)
    if isinstance(schedule, ReduceLROnPlateau):
        raise UserError("recipe.schedule: ReduceLROnPlateau follows an error on the test images")
    if recipe.warm_up is not None:
        factor = recipe.warm_up["lr"] / recipe.optimizer["lr"]
        warm_up = ConstantLR(optimizer, factor, total_iters=recipe.warm_up["epochs"])
        schedule = ChainedScheduler([schedule, warm_up])
    interval = "step" if every_step else "epoch"
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": interval}}
