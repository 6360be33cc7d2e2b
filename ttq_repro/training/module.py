"""The LightningModule: the same for every model and every quantizer."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ttq_repro.data.shard import WHOLE, Shard
from ttq_repro.data.source import Batch
from ttq_repro.quantizers import after_step, on_epoch_start, quantized_layers
from ttq_repro.training.distillation import Distillation
from ttq_repro.training.optimization import Recipe, optimizer_and_schedule

#: Fewest classes for a top-5 error; with fewer, most labels are among the five anyway.
TOP5_FROM_CLASSES = 20


class Classifier(pl.LightningModule):
    """Trains an image classifier whose quantizers, if any, are already attached.

    Args:
        network: maps normalized images (batch, 3, H, W) to logits (batch, classes).
        recipe: optimizer, schedule and epochs.
        mean, std: channel statistics of the training images in [0, 1].
        seed: seeds the quantizers that sample.
        shard: the part of each batch whose images this process gets, with the whole batch's labels.
        distillation: a loss that also learns from another network; None for cross-entropy.
    """

    #: Whether forward and backward passes are replayed as CUDA graphs.
    graphed = False
    _train_loss: Tensor
    _train_wrong: Tensor

    def __init__(
        self,
        network: nn.Module,
        recipe: Recipe,
        mean: np.ndarray,
        std: np.ndarray,
        seed: int,
        shard: Shard = WHOLE,
        distillation: Distillation | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.recipe = recipe
        self.seed = seed
        self.shard = shard
        self.distillation = distillation
        self.quantized = quantized_layers(network)
        statistics = torch.tensor(np.stack([mean, std]) * 255, dtype=torch.float32)
        self.register_buffer("statistics", statistics[:, None, :, None, None], persistent=False)
        #: Which test images the network got right in the last validation.
        self.correct = torch.empty(0, dtype=torch.bool)
        # Over the epoch's images so far: the sum of losses, the number wrong, the number seen.
        self.register_buffer("_train_loss", torch.zeros(()), persistent=False)
        self.register_buffer("_train_wrong", torch.zeros((), dtype=torch.long), persistent=False)
        self._train_count = 0

    def forward(self, images: Tensor) -> Tensor:
        """Logits of uint8 images (batch, 3, H, W)."""
        return self.network(self.normalized(images))

    def normalized(self, images: Tensor) -> Tensor:
        """The network's input for uint8 images."""
        mean, std = cast(Tensor, self.statistics)
        return (images - mean) / std

    def configure_optimizers(self) -> Any:
        steps = int(self.trainer.estimated_stepping_batches)
        return optimizer_and_schedule(self.network, self.recipe, steps)

    def on_fit_start(self) -> None:
        if self.distillation is not None:
            self.distillation.teacher.to(self.device)

    def on_train_epoch_start(self) -> None:
        # Seeded by (seed, epoch), so that quantizers sample the same in a resumed run and in all
        # processes. As a consequence, dropout masks are the same in all processes, too. (With
        # dropout and unequal shards, samples differ: a mask takes as many numbers as its shard.)
        torch.manual_seed(
            int(np.random.SeedSequence((self.seed, self.current_epoch)).generate_state(1)[0])
        )
        self._train_loss.zero_()
        self._train_wrong.zero_()
        self._train_count = 0
        on_epoch_start(self.quantized, self.current_epoch, self.recipe.epochs)

    def training_step(self, batch: Batch, _: int) -> Tensor:
        images, labels = batch
        self._train_count += len(labels)
        inputs = self.normalized(images)
        return self.loss_of(inputs, self.network(inputs), labels)

    def loss_of(self, inputs: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss of one batch, to be minimized; also updates the sums for the epoch's means."""
        own, weight = labels[self.shard.of(len(labels))], self.shard.weight(len(labels))
        if self.distillation is None:
            loss = F.cross_entropy(logits, own) * weight
        else:
            loss = self.distillation.loss(inputs, logits, own) * weight
        with torch.no_grad():
            self._train_loss += loss.detach() * (len(labels) / self.shard.world_size)
            self._train_wrong += (logits.argmax(1) != own).sum() * bool(weight)
        return loss

    def on_train_batch_end(self, *_: Any) -> None:
        after_step(self.quantized)

    def on_validation_epoch_start(self) -> None:
        self._test_loss = torch.zeros((), device=self.device)
        self._test_correct: list[Tensor] = []
        self._test_in_top5: list[Tensor] = []

    def validation_step(self, batch: Batch, _: int) -> None:
        images, labels = batch
        own, counts = labels[self.shard.of(len(labels))], bool(self.shard.weight(len(labels)))
        logits = self(images)
        self._test_loss += F.cross_entropy(logits, own, reduction="sum") * counts
        self._test_correct.append(self._placed(logits.argmax(1) == own, labels))
        if logits.shape[1] >= TOP5_FROM_CLASSES:
            self._test_in_top5.append(self._placed(in_top5(logits, own), labels))

    def on_validation_epoch_end(self) -> None:
        # Validation ends every training epoch. This is the only hook at which all metrics are
        # known and that runs before the on_train_epoch_end of callbacks.
        self.correct = self._total(torch.cat(self._test_correct)).bool().cpu()
        self.log_dict(
            {
                "train_loss": self._total(self._train_loss).item() / self._train_count,
                "train_error": self._total(self._train_wrong).item() / self._train_count,
                "test_loss": self._total(self._test_loss).item() / len(self.correct),
                "test_error": 1 - self.correct.float().mean().item(),
                "learning_rate": self._learning_rate,
            }
        )
        if self._test_in_top5:
            hits = self._total(torch.cat(self._test_in_top5))
            self.log("test_top5_error", 1 - hits.float().mean().item())
        found = [(layer, layer.quantizer.statistics(layer.latent)) for layer in self.quantized]
        self.log_dict(
            {f"{layer.name}/{name}": value for layer, own in found for name, value in own.items()}
        )
        zeros = [(own["zero"], layer.latent.numel()) for layer, own in found if "zero" in own]
        if zeros:
            shares, sizes = zip(*zeros, strict=True)
            self.log("sparsity", float(np.average(shares, weights=sizes)))

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        self._learning_rate = optimizer.param_groups[0]["lr"]

    def _placed(self, hits: Tensor, labels: Tensor) -> Tensor:
        """Which images of a batch were hits: those of this shard, with zeros for all others."""
        placed = torch.zeros_like(labels, dtype=torch.uint8)
        placed[self.shard.of(len(labels))] = hits * bool(self.shard.weight(len(labels)))
        return placed

    def _total(self, own: Tensor) -> Tensor:
        """The sum over all processes."""
        return self.trainer.strategy.reduce(own, reduce_op="sum")


def in_top5(logits: Tensor, labels: Tensor) -> Tensor:
    """Whether each label is among the five largest logits."""
    return (logits.topk(5).indices == labels[:, None]).any(1)
