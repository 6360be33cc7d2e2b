"""Where the paper, its released code and its logs disagree, and what the presets do about it.

The released code and logs are those of the repository czhu95/ternarynet.
"""

from __future__ import annotations

from typing import NamedTuple


class Difference(NamedTuple):
    """One contested choice: what each source says, what we do, and the override that changes it."""

    topic: str
    paper: str
    released: str
    ours: str
    override: str


DIFFERENCES = (
    Difference(
        "gradient of W_n",
        "Eq. 7 as printed has no minus",
        "true derivative (in the AlexNet log W_p + W_n stays at 2.000 to 2.006)",
        "true derivative",
        "quantizer.negative_gradient=as_printed",
    ),
    Difference(
        "normalization by the largest weight",
        "yes, before Eq. 6",
        "no: Delta = t max|w| of the raw weights",
        "no: the ternary weights are the same, and Eq. 8 has no factor for it",
        "quantizer.normalize=max",
    ),
    Difference("tie, |w| = Delta", "0", "+1 or -1, a fourth value", "0", "quantizer.tie=unit"),
    Difference("first value of W_p, W_n", "not stated", "1.0", "1.0", "quantizer.init=..."),
    Difference(
        "weight decay on W_p, W_n",
        "not stated",
        "yes, 2e-4 on CIFAR-10",
        "yes",
        "quantizer.decay_scales=false",
    ),
    Difference("weight decay on batch norm", "not stated", "no", "no, nor on biases", "none"),
    Difference(
        "float layers on CIFAR-10",
        "first layer implied",
        "first convolution only: the log lists scales of the last layer",
        "first convolution only, because the log's trailing mean gives the paper's 8.87%",
        "policy=first_last_float",
    ),
    Difference(
        "network on CIFAR-10",
        "ResNet",
        "pre-activation, shortcuts of 2x2 average pooling and zero channels",
        "pre-activation, for the same reason",
        "model.preactivation=false",
    ),
    Difference(
        "learning rate of TTQ on CIFAR-10",
        "0.1, x0.1 at epochs 80, 120, 300",
        "log: 0.1, drops from 83 and 124, 2e-4 from 301 of 400; script: 1e-4 at 150",
        "0.1, drops at 80 and 120, 160 epochs",
        "recipe.schedule.milestones=[...] recipe.epochs=...",
    ),
    Difference(
        "epochs of the float network",
        "not stated",
        "log starts at the learning rate of a parent trained past epoch 300",
        "164, drops at 82 and 123 (He et al. 2015)",
        "recipe=...",
    ),
    Difference("batch", "not stated", "128 on each of 2 GPUs", "128", "recipe.batch_size=256"),
    Difference(
        "input on CIFAR-10",
        "not stated",
        "padded to 40, crop 32, flip; minus per-pixel mean of train and test; /128 - 1",
        "padded to 40 with black, crop 32, flip; channel mean and deviation of train",
        "data.pad=... data.flip=...",
    ),
    Difference(
        "reported error",
        "moving average over epochs, window not given",
        "log: final 9.25, best 8.48, last 100 epochs 8.99",
        "final epoch; best and trailing mean are in each record",
        "none",
    ),
)
