"""Residual networks for 32x32 images, of depth 6n + 2."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = (16, 32, 64)


class CifarResNet(nn.Module):
    """A residual network of three stages (16, 32, 64 channels), (depth - 2) / 6 blocks each.

    ``preactivation=True`` is the network of the authors' release: batch norm and ReLU precede each
    convolution (He et al. 2016, arXiv 1603.05027), a final batch norm and ReLU follow the last
    block, and shortcuts into a new stage average 2x2 pixels. ``False`` is the network of He et
    al. 2015 (arXiv 1512.03385, section 4.2) with shortcuts of type A, which take every second
    pixel. Both pad new channels with zeros, and both have 269,722 parameters at depth 20.

    Args:
        depth: 6n + 2, e.g. 20, 32, 44, 56.
        num_classes: the width of the last layer.
        preactivation: which of the two networks to build.

    Shapes: images (batch, 3, H, W), H and W divisible by 4, to logits (batch, num_classes).

    Raises:
        ValueError: ``depth`` is not 6n + 2 with n >= 1.
    """

    def __init__(self, depth: int = 20, num_classes: int = 10, preactivation: bool = True) -> None:
        super().__init__()
        blocks, rest = divmod(depth - 2, 6)
        if rest or blocks < 1:
            raise ValueError(f"depth must be 6n + 2 with n >= 1 (8, 14, 20, 32, ...), got {depth}")
        self.stem = nn.Sequential(_conv3x3(3, WIDTHS[0], 1), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU())
        stages: list[nn.Module] = []
        channels = WIDTHS[0]
        for width in WIDTHS:
            for _ in range(blocks):
                if preactivation:
                    stages.append(_PreactivationBlock(channels, width, normalize=bool(stages)))
                else:
                    stages.append(_Block(channels, width))
                channels = width
        self.blocks = nn.Sequential(*stages)
        self.head = (
            nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU()) if preactivation else nn.Identity()
        )
        self.linear = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        features = self.head(self.blocks(self.stem(images)))
        return self.linear(features.mean((2, 3)))


class _PreactivationBlock(nn.Module):
    def __init__(self, channels: int, width: int, *, normalize: bool) -> None:
        super().__init__()
        # The stem has already normalized and rectified the input of the network's first block.
        self.preactivation = (
            nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU()) if normalize else nn.Identity()
        )
        self.conv1 = _conv3x3(channels, width, width // channels)
        self.norm = nn.BatchNorm2d(width)
        self.conv2 = _conv3x3(width, width, 1)
        self.new_channels = width - channels

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv2(F.relu(self.norm(self.conv1(self.preactivation(x)))))
        if self.new_channels:
            x = _pad_channels(F.avg_pool2d(x, 2), self.new_channels)
        return out + x


class _Block(nn.Module):
    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv1 = _conv3x3(channels, width, width // channels)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = _conv3x3(width, width, 1)
        self.norm2 = nn.BatchNorm2d(width)
        self.new_channels = width - channels

    def forward(self, x: Tensor) -> Tensor:
        out = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        if self.new_channels:
            x = _pad_channels(x[:, :, ::2, ::2], self.new_channels)
        return F.relu(out + x)


def _conv3x3(channels: int, width: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(channels, width, 3, stride, 1, bias=False)


def _pad_channels(x: Tensor, new_channels: int) -> Tensor:
    return F.pad(x, (0, 0, 0, 0, new_channels // 2, new_channels // 2))
