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


class ReportedDensity(NamedTuple):
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
    "conv1": (ReportedDensity(84, 8), ReportedDensity(100, 32)),
    "conv2": (ReportedDensity(38, 8), ReportedDensity(23, 2)),
    "conv3": (ReportedDensity(35, 8), ReportedDensity(24, 2)),
    "conv4": (ReportedDensity(37, 8), ReportedDensity(40, 2)),
    "conv5": (ReportedDensity(37, 8), ReportedDensity(43, 2)),
    "conv total": (ReportedDensity(37, None), ReportedDensity(33, None)),
    "fc1": (ReportedDensity(9, 5), ReportedDensity(30, 2)),
    "fc2": (ReportedDensity(9, 5), ReportedDensity(36, 2)),
    "fc3": (ReportedDensity(25, 5), ReportedDensity(100, 32)),
    "fc total": (ReportedDensity(10, None), ReportedDensity(37, None)),
    "all": (ReportedDensity(11, None), ReportedDensity(37, None)),
}

#: What each row of Table 4 is about: convolutions and linear layers by position, layers first.
TABLE4_LAYERS = {
    "conv1": (0,), "conv2": (1,), "conv3": (2,), "conv4": (3,), "conv5": (4,),
    "fc1": (5,), "fc2": (6,), "fc3": (7,),
    "conv total": (0, 1, 2, 3, 4), "fc total": (5, 6, 7), "all": (0, 1, 2, 3, 4, 5, 6, 7),
}  # fmt: skip

#: Figure 5, sparsities in percent: the one that it marks as "w/o pruning 10%", and the range in
#: which the text reports the lowest error.
FIGURE5_MARK = 10
FIGURE5_LEAST_ERROR = (30, 50)
