"""The numbers that the paper reports, in percent; lower errors are better.

Source: Zhu, Han, Mao, Dally, "Trained Ternary Quantization", ICLR 2017, arXiv 1612.01064.
"""

from __future__ import annotations

from typing import NamedTuple


class Pair(NamedTuple):
    """Errors of the float network and of the ternary network fine-tuned from it."""

    full_precision: float
    ttq: float


class TopErrors(NamedTuple):
    """Top-1 and top-5 error on ILSVRC12."""

    top1: float
    top5: float


class Density(NamedTuple):
    """Share of weights that are not zero, and bits per such weight."""

    percent: int
    bits: int | None


#: Table 1, CIFAR-10: errors by depth of the ResNet.
TABLE1 = {
    20: Pair(8.23, 8.87),
    32: Pair(7.67, 7.63),
    44: Pair(7.18, 7.02),
    56: Pair(6.80, 6.44),
}

#: Table 2, AlexNet with batch norm.
TABLE2 = {
    "full_precision": TopErrors(42.8, 19.7),
    "dorefa": TopErrors(46.1, 23.7),
    "twn": TopErrors(45.5, 23.2),
    "ttq": TopErrors(42.5, 20.3),
}

#: Table 3, ResNet-18B.
TABLE3 = {
    "full_precision": TopErrors(30.4, 10.8),
    "bwn": TopErrors(39.2, 17.0),
    "twn": TopErrors(34.7, 13.8),
    "ttq": TopErrors(33.4, 12.8),
}

#: Table 4, AlexNet: densities after pruning (Han et al., NIPS 2015) and under TTQ.
TABLE4 = {
    "conv1": (Density(84, 8), Density(100, 32)),
    "conv2": (Density(38, 8), Density(23, 2)),
    "conv3": (Density(35, 8), Density(24, 2)),
    "conv4": (Density(37, 8), Density(40, 2)),
    "conv5": (Density(37, 8), Density(43, 2)),
    "conv total": (Density(37, None), Density(33, None)),
    "fc1": (Density(9, 5), Density(30, 2)),
    "fc2": (Density(9, 5), Density(36, 2)),
    "fc3": (Density(25, 5), Density(100, 32)),
    "fc total": (Density(10, None), Density(37, None)),
    "all": (Density(11, None), Density(37, None)),
}

#: Figure 5, sparsities in percent: the one that it marks as "w/o pruning 10%", and the range in
#: which the text reports the lowest error.
FIGURE5_MARK = 10
FIGURE5_LEAST_ERROR = (30, 50)
