"""What BinaryConnect and TernaryConnect share: sampling, clipping, evaluation, learning rates."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from ttq_repro.checks import check_choice, check_flag
from ttq_repro.quantizers.base import Levels, Quantizer
from ttq_repro.quantizers.gradients import straight_through

Evaluation = Literal["float", "quantized"]
RateScaling = Literal["none", "glorot", "glorot_squared"]

# Root mean square of numbers uniform in [-1, 1].
UNIFORM_SIZE = 3**-0.5


class Connect(Quantizer):
    r"""Discrete weights in training, over latent weights that are clipped to [-1, 1].

    Backward: straight through, :math:`\partial w = \partial L / \partial w_q`, also at the clip.

    Args:
        stochastic: whether training samples the weights at each step instead of rounding them.
        evaluation: whether evaluation uses the latent weights, ``"float"``, or the rounded ones,
            ``"quantized"``. By default as in the source: float after stochastic training.
        rescale: whether attaching the quantizer scales the weights to the root mean square of the
            source's initialization, which is uniform in [-1, 1].
        rate_scaling: divides the learning rate of the latent weights by the coefficient
            :math:`c = \sqrt{1.5 / (n_{in} + n_{out})}` of Glorot and Bengio 2010 (``"glorot"``, the
            source's choice under Adam) or by its square (``"glorot_squared"``, under SGD); takes
            effect through :func:`ttq_repro.quantizers.parameter_groups`.

    Shapes: any; the latent weights are in units of the levels, which are -1, +1 (and 0).

    Raises:
        TypeError: ``stochastic`` or ``rescale`` is not a bool.
        ValueError: ``evaluation`` or ``rate_scaling`` is unknown.
    """

    #: The codes, which are also the levels.
    values: tuple[int, ...]

    def __init__(
        self,
        *,
        stochastic: bool = True,
        evaluation: Evaluation | None = None,
        rescale: bool = False,
        rate_scaling: RateScaling = "none",
    ) -> None:
        super().__init__()
        check_flag("stochastic", stochastic)
        check_flag("rescale", rescale)
        if evaluation is None:
            evaluation = "float" if stochastic else "quantized"
        check_choice("evaluation", evaluation, Evaluation)
        check_choice("rate_scaling", rate_scaling, RateScaling)
        self.stochastic = stochastic
        self.evaluation = evaluation
        self.rescale = rescale
        self.rate_scaling = rate_scaling

    def initialize(self, latent: Tensor) -> None:
        size = latent.square().mean().sqrt()
        if self.rescale and size > 0:
            latent.mul_(UNIFORM_SIZE / size)
        self.after_step(latent)

    def forward(self, latent: Tensor) -> Tensor:
        if not self.training and self.evaluation == "float":
            return latent
        discretize = self.sample if self.training and self.stochastic else self.round
        return straight_through(discretize(latent.detach()).to(latent.dtype), latent)

    def sample(self, latent: Tensor) -> Tensor:
        """A random level for each weight, with the clipped weight as its expectation."""
        raise NotImplementedError

    def round(self, latent: Tensor) -> Tensor:
        """The level nearest to each weight."""
        raise NotImplementedError

    def codes(self, latent: Tensor) -> Tensor | None:
        if self.evaluation == "float":
            return None
        return self.round(latent).to(torch.int8)

    def levels(self, latent: Tensor) -> Levels | None:
        if self.evaluation == "float":
            return None
        return {value: latent.new_tensor(float(value)) for value in self.values}

    def rate_factors(self, latent: nn.Parameter) -> list[tuple[nn.Parameter, float]]:
        powers = {"none": 0, "glorot": 1, "glorot_squared": 2}
        field = latent[0, 0].numel()
        coefficient = (1.5 / (field * (latent.shape[0] + latent.shape[1]))) ** 0.5
        return [(latent, coefficient ** -powers[self.rate_scaling])]

    def after_step(self, latent: Tensor) -> None:
        latent.clamp_(-1, 1)

    def extra_repr(self) -> str:
        return f"stochastic={self.stochastic}, evaluation={self.evaluation}"
