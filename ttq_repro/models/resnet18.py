"""ResNet-18 for 224x224 images, of any width."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = (64, 128, 256, 512)
BLOCKS_PER_STAGE = 2


class ResNet18(nn.Module):
    """The residual network of He et al. 2015 (arXiv 1512.03385, table 1) with 18 layers.

    Shortcuts are of type B: the identity, or a 1x1 convolution where a stage changes size and
    width. 11,689,512 parameters at 1000 classes and width 1.

    Args:
        num_classes: the width of the last layer.
        width: factor on the channels of every stage; 1.5 gives the network that TWN
            (arXiv 1605.04711, section 3.1) calls ResNet-18B.

    Shapes: images (batch, 3, H, W), H and W at least 32, to logits (batch, num_classes).
    """

    def __init__(self, num_classes: int = 1000, width: float = 1.0) -> None:
        super().__init__()
        widths = [round(width * channels) for channels in WIDTHS]
        channels = widths[0]
        self.stem = nn.Sequential(
            nn.Conv2d(3, channels, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, padding=1),
        )
        blocks = []
        for stage, stage_width in enumerate(widths):
            for block in range(BLOCKS_PER_STAGE):
                stride = 2 if stage and not block else 1
                blocks.append(_Block(channels, stage_width, stride))
                channels = stage_width
        self.blocks = nn.Sequential(*blocks)
        self.linear = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        return self.linear(self.blocks(self.stem(images)).mean((2, 3)))


class _Block(nn.Module):
    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.shortcut = (
            nn.Identity()
            if channels == width
            else nn.Sequential(
                nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        out = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(out + self.shortcut(x))
