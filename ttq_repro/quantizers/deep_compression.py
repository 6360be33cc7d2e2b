"""Deep Compression (Han, Mao, Dally; ICLR 2016; arXiv 1510.00149) without its Huffman coding."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ttq_repro.checks import check_fraction, check_number, check_whole
from ttq_repro.quantizers.base import Levels, Quantizer, sign_shares
from ttq_repro.quantizers.magnitude import smallest

# The stages of a run.
DENSE, PRUNED, CLUSTERED = range(3)
# k-means converges within a few hundred rounds; this guards against cycles from rounding.
MOST_ROUNDS = 1000


class DeepCompression(Quantizer):
    r"""Pruned weights that share :math:`2^b - 1` trained values besides zero.

    There are three stages, each starting from the weights trained in the one before:

    0. dense: :math:`w_q = w`.
    1. pruned (Han et al., NIPS 2015, arXiv 1506.02626): the weights of smallest magnitude become
       zero permanently, the others are retrained, :math:`w_q = m \odot w`.
    2. clustered: k-means over the remaining weights, from centroids spaced evenly between the
       smallest and the largest ("linear initialization"), assigns a centroid to each. The
       assignment i stays fixed and the centroids c are trained,
       :math:`w_q = m \odot c_i`, by the sum of the gradients of their weights (Eq. 3):

       .. math:: \partial c_k = \sum_{i = k} \partial L / \partial w_q

    The trap: a centroid's gradient is the sum over hundreds of weights, not their mean, and moves
    them all. At the learning rate of the first stages the centroids jump around; cluster when the
    rate is low. Zero takes one of the :math:`2^b` codes, as in the released network.

    The source prunes a trained network, as ``prune_at=0`` does with a parent's weights. When
    starting from random weights, set ``prune_at`` above 0 for a dense stage.

    Args:
        density: share of a layer's weights that is kept, in (0, 1], exact to one weight; at least
            one is kept.
        conv_bits, fc_bits: b, for convolutions and for linear layers, from 2 to 8.
        prune_at, cluster_at: when these stages begin, as shares of the run's epochs, in [0, 1):
            at the start of the first epoch that ends after this share. The fine-tuning recipe drops
            the learning rate for the last time at 0.75.

    Shapes: any; the codebook is (2^b - 1,), in units of the weights.

    Raises:
        TypeError: a share is not a number.
        ValueError: an argument is outside its range, or ``cluster_at`` lies before ``prune_at``.
    """

    stage: Tensor
    kept: Tensor
    order: Tensor
    sizes: Tensor

    def __init__(
        self,
        density: float = 0.4,
        *,
        conv_bits: int = 8,
        fc_bits: int = 5,
        prune_at: float = 0.0,
        cluster_at: float = 0.75,
    ) -> None:
        super().__init__()
        check_number("density", density)
        if not 0 < density <= 1:
            raise ValueError(f"density must lie in (0, 1], got {density}")
        check_whole("conv_bits", conv_bits, 2, 8)
        check_whole("fc_bits", fc_bits, 2, 8)
        check_fraction("prune_at", prune_at)
        check_fraction("cluster_at", cluster_at)
        if cluster_at < prune_at:
            raise ValueError(f"cluster_at={cluster_at} lies before prune_at={prune_at}")
        self.density = density
        self.conv_bits = conv_bits
        self.fc_bits = fc_bits
        self.prune_at = prune_at
        self.cluster_at = cluster_at

    def initialize(self, latent: Tensor) -> None:
        bits = self.fc_bits if latent.dim() == 2 else self.conv_bits
        count = max(1, round(self.density * latent.numel()))
        device = latent.device
        self.codebook = nn.Parameter(torch.zeros(2**bits - 1, device=device))
        self.register_buffer("stage", torch.tensor(DENSE, device=device))
        self.register_buffer("kept", torch.ones_like(latent, dtype=torch.bool))
        # The positions of the kept weights, cluster by cluster, and the size of each cluster.
        self.register_buffer("order", torch.arange(count, device=device))
        self.register_buffer("sizes", F.pad(self.order.new_tensor([count]), (0, 2**bits - 2)))

    def forward(self, latent: Tensor) -> Tensor:
        pruned = torch.where(self.kept, latent, 0)
        shared = _SharedWeights.apply(self.codebook, self.order, self.sizes, latent.shape)
        # Not an if: a compiled graph must stay valid when the stage changes.
        return torch.where(self.stage == CLUSTERED, shared.to(latent.dtype), pruned)

    def codes(self, latent: Tensor) -> Tensor | None:
        """Ascending with the centroids, 0 for pruned weights (int16); None before clustering."""
        if self.stage != CLUSTERED:
            return None
        return _spread(self._ranks(), self.order, self.sizes, latent.shape)

    def levels(self, latent: Tensor) -> Levels | None:
        if self.stage != CLUSTERED:
            return None
        centroids = dict(zip(self._ranks().tolist(), self.codebook, strict=True))
        return {0: torch.zeros_like(self.codebook[0])} | centroids

    def decayed(self) -> list[nn.Parameter]:
        return [self.codebook]

    def on_epoch_start(self, latent: Tensor, epoch: int, epochs: int) -> None:
        end = (epoch + 1) / epochs
        if self.stage == DENSE and end > self.prune_at:
            self._prune(latent)
        if self.stage == PRUNED and end > self.cluster_at:
            self._cluster(latent)

    @torch.no_grad()
    def statistics(self, latent: Tensor) -> dict[str, float]:
        """Shares by sign (the density is 1 - ``zero``), stage and number of distinct values."""
        weight = self(latent)
        return sign_shares(weight) | {
            "stage": self.stage.item(),
            "distinct_values": len(weight.unique()),
        }

    def extra_repr(self) -> str:
        return f"density={self.density}, conv_bits={self.conv_bits}, fc_bits={self.fc_bits}"

    def _prune(self, latent: Tensor) -> None:
        self.kept.copy_(~smallest(latent, latent.numel() - len(self.order)))
        self.stage.fill_(PRUNED)

    def _cluster(self, latent: Tensor) -> None:
        positions = self.kept.flatten().nonzero().squeeze(1)
        values, order = latent.flatten()[positions].sort()
        centroids, sizes = kmeans(values, len(self.codebook))
        self.order.copy_(positions[order])
        self.sizes.copy_(sizes)
        self.codebook.copy_(centroids)
        self.stage.fill_(CLUSTERED)

    def _ranks(self) -> Tensor:
        """The code of each centroid: its rank among those of its sign, counted outward from ±1."""
        codebook = self.codebook
        rank = codebook.argsort(stable=True).argsort() - (codebook < 0).sum()
        return torch.where(rank < 0, rank, rank + 1).to(torch.int16)


def kmeans(values: Tensor, clusters: int) -> tuple[Tensor, Tensor]:
    """Lloyd's algorithm on numbers in ascending order, until it converges.

    In one dimension, a cluster is a contiguous range of the sorted numbers, so that a round only
    has to search for the ends of the ranges. Centroids without values (linear initialization leaves
    many in the gap that pruning made) move to the values that are farthest from their centroids.

    Args:
        values: (count,), ascending.
        clusters: number of centroids, initially spaced evenly between the extremes of ``values``.

    Returns:
        The centroids (clusters,), ascending, and the number of values that belong to each.
    """
    values = values.double().cpu()
    sums = F.pad(values.cumsum(0), (1, 0))
    centroids = torch.linspace(values[0].item(), values[-1].item(), clusters, dtype=values.dtype)
    for _ in range(MOST_ROUNDS):
        bounds = _bounds(values, centroids)
        sizes = bounds.diff()
        moved = torch.where(sizes > 0, sums[bounds].diff() / sizes, centroids)
        empty = (sizes == 0).nonzero().squeeze(1)
        if len(empty):
            distance = (values - moved.repeat_interleave(sizes)).abs()
            farthest = distance.topk(min(len(empty), len(values)))
            apart = farthest.indices[farthest.values > 0]
            moved[empty[: len(apart)]] = values[apart]
            moved = moved.sort().values
        if torch.equal(moved, centroids):
            break
        centroids = moved
    return centroids, _bounds(values, centroids).diff()


def _bounds(values: Tensor, centroids: Tensor) -> Tensor:
    """Where the range of each centroid begins in ``values``, and where the last one ends."""
    ends = torch.searchsorted(values, (centroids[1:] + centroids[:-1]) / 2)
    return torch.cat([ends.new_tensor([0]), ends, ends.new_tensor([len(values)])])


class _SharedWeights(torch.autograd.Function):
    """Each kept weight gets its centroid; each centroid gets the sum of its weights' gradients.

    The sum runs over contiguous ranges, in an order that does not depend on the number of threads,
    unlike that of scattered additions.
    """

    @staticmethod
    def forward(
        ctx: Any, codebook: Tensor, order: Tensor, sizes: Tensor, shape: torch.Size
    ) -> Tensor:
        ctx.save_for_backward(order, sizes)
        return _spread(codebook, order, sizes, shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        order, sizes = ctx.saved_tensors
        sorted_grad = grad.flatten()[order]
        sums = torch.segment_reduce(sorted_grad, "sum", lengths=sizes, unsafe=True)
        return sums, None, None, None


def _spread(values: Tensor, order: Tensor, sizes: Tensor, shape: torch.Size) -> Tensor:
    """The value of each cluster, (clusters,), at the positions of its weights; 0 elsewhere."""
    placed = values.repeat_interleave(sizes, output_size=len(order))
    return values.new_zeros(shape.numel()).scatter(0, order, placed).view(shape)
