"""Recipes: optimizer, schedule, and which parameters decay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from hydra.utils import get_class
from torch import nn
from torch.optim.lr_scheduler import ChainedScheduler, ConstantLR, LRScheduler, OneCycleLR

from ttq_repro.checks import check_choice, check_list, check_number, check_option, check_whole
from ttq_repro.errors import UserError
from ttq_repro.quantizers import quantized_layers, split_by_decay
from ttq_repro.quantizers.attach import QUANTIZABLE

DROPS = "torch.optim.lr_scheduler.MultiStepLR"
DECAYED: dict[str, tuple[type[nn.Module], ...]] = {"all": QUANTIZABLE, "linear": (nn.Linear,)}


@dataclass(frozen=True)
class Recipe:
    """A recipe node of the configs.

    Raises:
        UserError: an option is invalid.
        KeyError: there is no learning rate, or no list of drops.

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
        check_option("recipe.optimizer.lr", self.optimizer["lr"], check_number)
        if self.schedule["_target_"] == DROPS:
            drops = self.schedule["milestones"]
            check_option("recipe.schedule.milestones", drops, check_list, may_be_empty=True)
        check_option("recipe.decay", self.decay, check_choice, DECAYED)
        if self.warm_up is not None:
            self._check_warm_up(self.warm_up)

    def _check_warm_up(self, warm_up: Any) -> None:
        if not isinstance(warm_up, dict) or set(warm_up) != {"epochs", "lr"}:
            raise UserError(f"recipe.warm_up={warm_up}: takes epochs and lr")
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
                f"recipe.warm_up={warm_up}: goes with MultiStepLR, whose first drop comes after it"
            )


def optimizer_and_schedule(network: nn.Module, recipe: Recipe, steps: int) -> dict[str, Any]:
    """Optimizer and learning-rate schedule in the form that Lightning expects.

    Weight decay applies to the (latent) weights of the layers that ``recipe.decay`` names and to
    their quantizer parameters that ask for it, but not to batch norm and biases.
    """
    optimizer_class = get_class(recipe.optimizer["_target_"])
    optimizer = optimizer_class(parameter_groups(network, recipe), **_arguments(recipe.optimizer))
    schedule_class = get_class(recipe.schedule["_target_"])
    arguments = _arguments(recipe.schedule)
    every_step = issubclass(schedule_class, OneCycleLR)
    if every_step:
        # The only schedule that takes its rates from its arguments, not from the optimizer.
        rates = [arguments["max_lr"] * group["rate_factor"] for group in optimizer.param_groups]
        arguments |= {"total_steps": steps, "max_lr": rates}
    schedule: LRScheduler = schedule_class(optimizer, **arguments)
    if recipe.warm_up is not None:
        factor = recipe.warm_up["lr"] / recipe.optimizer["lr"]
        warm_up = ConstantLR(optimizer, factor, total_iters=recipe.warm_up["epochs"])
        schedule = ChainedScheduler([schedule, warm_up])
    interval = "step" if every_step else "epoch"
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": interval}}


def parameter_groups(network: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """Groups of parameters that share a learning rate and weight decay.

    The first learns at the recipe's rate, the others at that rate times their ``rate_factor``. The
    factor is meant for the gradient alone: weight decay is divided by it, so that weights shrink
    per step as in the recipe (except under Adam, which normalizes L2 together with the gradient).
    """
    factors = {
        parameter: factor
        for layer in quantized_layers(network)
        for parameter, factor in layer.quantizer.rate_factors(layer.latent)
    }
    rate, decay = recipe.optimizer["lr"], recipe.optimizer.get("weight_decay", 0.0)
    split = split_by_decay(network, DECAYED[recipe.decay])
    members: dict[tuple[float, float], list[nn.Parameter]] = {(1.0, decay): []}
    for own_decay, parameters in zip((decay, 0.0), split, strict=True):
        for parameter in parameters:
            key = (factors.get(parameter, 1.0), own_decay)
            members.setdefault(key, []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": rate * factor,
            "weight_decay": own_decay / factor,
            "rate_factor": factor,
        }
        for (factor, own_decay), parameters in members.items()
    ]


def _arguments(node: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in node.items() if key != "_target_"}
