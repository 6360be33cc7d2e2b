"""AlexNet with batch norm, for 224x224 images."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from ttq_repro.checks import check_choice

Init = Literal["kaiming_normal", "released"]
BATCH_NORM_EPS = 1e-4


class AlexNetBN(nn.Module):
    r"""The AlexNet of the authors' release, which is that of DoReFa-Net (arXiv 1606.06160).

    Five convolutions and three fully connected layers; batch norm after each but the first and
    the last; no local response normalization; no bias except in the last layer. Pooling comes after
    batch norm and before ReLU. Convolutions 2, 4 and 5 have two groups of channels, as on the two
    GPUs of Krizhevsky et al. 2012. 60,981,224 parameters at 1000 classes.

    Args:
        num_classes: the width of the last layer.
        dropout: share of hidden units dropped after each of the two hidden fully connected
            layers: 0 in the paper (section 5.2), 0.5 in Krizhevsky et al. 2012.
        init: the distribution of the initial weights: ``"kaiming_normal"`` (He et al. 2015), or
            ``"released"``, uniform numbers that fit the first epoch of the released log: in
            convolutions those of Glorot and Bengio 2010, in linear layers within
            :math:`\pm 1.43 \sqrt{3 / n_{in}}`.

    Shapes: images (batch, 3, 224, 224) to logits (batch, num_classes).

    Raises:
        ValueError: ``init`` is unknown.
    """

    def __init__(
        self, num_classes: int = 1000, dropout: float = 0.0, init: Init = "kaiming_normal"
    ) -> None:
        super().__init__()
        check_choice("init", init, Init)
        self.features = nn.Sequential(
            nn.Conv2d(3, 96, 12, stride=4, bias=False),  # 224 -> 54
            nn.ReLU(),
            # The release pools with the "SAME" padding of its framework: 54 -> 27 -> 14.
            _convolution(96, 256, 5, groups=2, pool=nn.MaxPool2d(3, 2, ceil_mode=True)),
            _convolution(256, 384, 3, pool=nn.MaxPool2d(3, 2, padding=1)),
            _convolution(384, 384, 3, groups=2),
            _convolution(384, 256, 3, groups=2, pool=nn.MaxPool2d(3, 2)),  # 14 -> 6
        )
        self.classifier = nn.Sequential(
            _fully_connected(256 * 6 * 6, 4096, dropout),
            _fully_connected(4096, 4096, dropout),
            nn.Linear(4096, num_classes),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                _initialize(module, init)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images).flatten(1))


def _initialize(layer: nn.Conv2d | nn.Linear, init: Init) -> None:
    if init == "kaiming_normal":
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    elif isinstance(layer, nn.Conv2d):
        nn.init.xavier_uniform_(layer.weight)
    else:
        bound = 1.43 * (3 / layer.in_features) ** 0.5
        nn.init.uniform_(layer.weight, -bound, bound)


def _convolution(
    channels: int, width: int, size: int, *, groups: int = 1, pool: nn.Module | None = None
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, size, padding=size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(width, eps=BATCH_NORM_EPS),
        *([pool] if pool else []),
        nn.ReLU(),
    )


def _fully_connected(channels: int, width: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(channels, width, bias=False),
        nn.BatchNorm1d(width, eps=BATCH_NORM_EPS),
        nn.ReLU(),
        nn.Dropout(dropout),
    )
