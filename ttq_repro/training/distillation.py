"""Knowledge distillation (Hinton, Vinyals, Dean; 2015; arXiv 1503.02531)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ttq_repro.checks import check_number


class Distillation:
    r"""A loss that learns from a trained network's logits as well as from the labels.

    .. math:: (1 - \lambda) \, H(y, p) + \lambda \, T^2 \,
        \mathrm{KL}(\sigma(z_t / T) \,\|\, \sigma(z / T))

    with logits z, the teacher's logits z_t on the same augmented images, labels y and
    p = softmax(z), averaged over the batch. The factor T^2 keeps the size of the gradients
    independent of the temperature (section 2).

    The teacher is frozen and in evaluation mode: its batch norm uses running statistics. It is not
    part of any module, so neither checkpoints nor optimizers include it.

    Args:
        teacher: maps normalized images (batch, 3, H, W) to logits (batch, classes).
        weight: lambda, in (0, 1].
        temperature: T, above 0.

    Raises:
        TypeError: weight or temperature is not a number.
        ValueError: one of them is out of range.
    """

    def __init__(self, teacher: nn.Module, *, weight: float, temperature: float) -> None:
        check_number("weight", weight)
        check_number("temperature", temperature)
        if not 0 < weight <= 1:
            raise ValueError(f"weight must lie in (0, 1], got {weight}")
        if not temperature > 0:
            raise ValueError(f"temperature must be above 0, got {temperature}")
        self.teacher = teacher.eval().requires_grad_(False)
        self.weight = weight
        self.temperature = temperature

    def loss(self, inputs: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss of a batch: normalized images, the student's logits on them, and labels."""
        with torch.no_grad():
            soft = self.teacher(inputs)
        log_student, log_teacher = (
            F.log_softmax(one.float() / self.temperature, dim=1) for one in (logits, soft)
        )
        divergence = F.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)
        hard = F.cross_entropy(logits, labels)
        return (1 - self.weight) * hard + self.weight * self.temperature**2 * divergence
