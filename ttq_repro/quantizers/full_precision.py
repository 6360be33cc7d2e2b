"""Full precision: the quantizer that leaves every weight as it is."""

from torch import Tensor

from ttq_repro.quantizers.base import Quantizer


class FullPrecision(Quantizer):
    """The identity, so that the float baseline runs through the same code as every method."""

    def forward(self, latent: Tensor) -> Tensor:
        return latent
