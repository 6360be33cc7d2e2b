"""Where the paper, its released code and its logs disagree, and what our presets do about it.

The released code and logs are those of the repository czhu95/ternarynet. If a row is about another
method, its topic says so, and paper and released code are those of that method.
"""

from __future__ import annotations

from typing import NamedTuple


class Difference(NamedTuple):
    """One contested choice: what each source says, what we do, and the override that changes it.

    Attributes:
        source: where to find it in the paper, the released code and the logs.
        override: the option that leads from our choice toward another source's or, where all agree,
            away from it; ``none`` if there is no such option.
    """

    topic: str
    source: str
    paper: str
    released: str
    ours: str
    override: str


DIFFERENCES = (
    # The quantizer.
    Difference(
        "gradient of W_n",
        "Eq. 7; released AlexNet log",
        "Eq. 7 as printed has no minus",
        "true derivative (in the AlexNet log W_p + W_n stays within 0.006 of 2)",
        "true derivative",
        "quantizer.negative_gradient=as_printed",
    ),
    Difference(
        "gradients of W_p and W_n over the layer",
        "Eq. 7; ternary.py; public PyTorch ports",
        "sum (Eq. 7)",
        "sum; several ports take the mean",
        "sum",
        "quantizer.reduction=mean",
    ),
    Difference(
        "gradient of the latent weights",
        "Eq. 8; ternary.py",
        "times W_p, 1 or W_n (Eq. 8)",
        "the same",
        "the same",
        "quantizer.latent_gradient=straight_through",
    ),
    Difference(
        "normalization by the largest weight",
        "section 3.1; ternary.py",
        "yes, before Eq. 6",
        "no: Delta = t max|w| of the raw weights",
        "no: the ternary weights are the same, and Eq. 8 has no factor for it",
        "quantizer.normalize=max",
    ),
    Difference(
        "tie, |w| = Delta",
        "Eq. 6; ternary.py",
        "0",
        "+1 or -1, a fourth value",
        "0",
        "quantizer.tie=unit",
    ),
    Difference(
        "first value of W_p, W_n", "ternary.py", "not stated", "1.0", "1.0", "quantizer.init=0.5"
    ),
    Difference(
        "sign of W_p, W_n",
        "ternary.py",
        "not stated",
        "nothing keeps them positive",
        "nothing keeps them positive",
        "+quantizer.positive_scales=true",
    ),
    Difference(
        "scales",
        "Eq. 6; ternary.py; public PyTorch ports",
        "two per layer",
        "two per layer; several ports have two per filter",
        "two per layer",
        "+quantizer.granularity=filter",
    ),
    Difference(
        "weight decay on W_p, W_n",
        "training scripts",
        "not stated",
        "yes, 2e-4 on CIFAR-10, 5e-6 in AlexNet's fully connected layers",
        "yes",
        "quantizer.decay_scales=false",
    ),
    Difference(
        "threshold t of AlexNet",
        "section 5.2; AlexNet script and log",
        "0.05",
        "0.05 in the script, 0.049 in the log",
        "0.05",
        "quantizer.threshold=0.049",
    ),
    Difference(
        "constant sparsity",
        "section 3.1; code of the fixed-sparsity mode",
        "W_p and W_n trained as with a threshold",
        "none trained: -1, 0 and +1 after tanh, threshold updated once per epoch by a module that "
        "was not released",
        "trained, without tanh; exact at every step; tanh alone can be switched on",
        "quantizer=ttq_sparsity quantizer.tanh=true",
    ),
    # Training on CIFAR-10.
    Difference(
        "float layers on CIFAR-10",
        "section 3.1; ResNet-20 log",
        "first layer implied",
        "first convolution only: the log lists scales of the last layer",
        "first convolution only, as in the log; its lowest 20-epoch mean, 8.87%, is the figure in "
        "the paper's Table 1",
        "policy=first_last_float",
    ),
    Difference(
        "network on CIFAR-10",
        "section 5.1; CIFAR-10 script",
        "ResNet",
        "pre-activation, shortcuts of 2x2 average pooling and zero channels",
        "pre-activation, as in the log",
        "model.preactivation=false",
    ),
    Difference(
        "batch norm momentum",
        "CIFAR-10 script",
        "not stated",
        "running statistics keep 0.9 of their value per step",
        "the same (momentum=0.1 in PyTorch)",
        "none",
    ),
    Difference(
        "weight decay on batch norm",
        "CIFAR-10 script",
        "not stated",
        "no",
        "no, nor on biases",
        "none",
    ),
    Difference(
        "learning rate of TTQ on CIFAR-10",
        "section 5.1; ResNet-20 log and script",
        "0.1, x0.1 at epochs 80, 120, 300",
        "log: 0.1, drops from 83 and 124, 2e-4 from 301 of 400; script: 1e-4 at 150",
        "0.1, drops at 80 and 120, 160 epochs",
        "recipe=paper_authors_code",
    ),
    Difference(
        "beginning of TTQ on CIFAR-10",
        "section 5.1; ResNet-20 log",
        "learning rate 0.1",
        "2e-4 in the first epoch (two passes)",
        "2e-4 in the first two epochs",
        "recipe=paper_finetune",
    ),
    Difference(
        "length of an epoch",
        "ResNet-20 log and script",
        "not stated",
        "two passes over the data (390 steps on two GPUs)",
        "one pass",
        "recipe=paper_authors_code",
    ),
    Difference(
        "epochs of the float network",
        "ResNet-20 log; He et al. 2015",
        "not stated",
        "log starts at the learning rate of a parent trained past epoch 300",
        "164, drops at 82 and 123 (He et al. 2015)",
        "none",
    ),
    Difference(
        "L2 of the float network",
        "He et al. 2015",
        "not stated; 2e-4 for TTQ",
        "not stated; 1e-4 of He et al. 2015",
        "2e-4",
        "recipe.optimizer.weight_decay=1e-4",
    ),
    Difference(
        "batch",
        "CIFAR-10 script",
        "not stated",
        "128 on each of 2 GPUs, batch norm over each separately",
        "128",
        "recipe.batch_size=256",
    ),
    Difference(
        "input on CIFAR-10",
        "CIFAR-10 script",
        "not stated",
        "padded to 40, crop 32, flip; minus per-pixel mean of train and test; /128 - 1",
        "padded to 40 with black, crop 32, flip; channel mean and deviation of train",
        "none",
    ),
    Difference(
        "reported error",
        "Figure 3; both logs",
        "moving average over epochs, window not given",
        "ResNet-20 log: final 9.25, best 8.48, last 100 epochs 8.99; AlexNet log: final 42.83, "
        "best 42.38",
        "final epoch, and the mean of the last eighth of the epochs beside it",
        "none",
    ),
    # ImageNet.
    Difference(
        "network of Table 2",
        "section 5.2; AlexNet script",
        "AlexNet with batch norm, without dropout",
        "DoReFa-Net's AlexNet: 12x12 first kernels, no batch norm after the first and the last "
        "layer, batch norm eps 1e-4",
        "the released one; full precision with dropout, the usual baseline, and without",
        "model=alexnet_bn_dropout",
    ),
    Difference(
        "float layers on ImageNet",
        "section 5.2; AlexNet script",
        "first convolution and last layer",
        "the same",
        "the same",
        "none",
    ),
    Difference(
        "AlexNet's weight decay and Adam",
        "section 5.2; AlexNet script",
        "L2 5e-6",
        "L2 5e-6 on the fully connected layers and their scales alone; Adam's epsilon 1e-5",
        "on all layers; epsilon 1e-8",
        "recipe=paper_alexnet_authors_code",
    ),
    Difference(
        "length of AlexNet's training",
        "section 5.2; AlexNet log",
        "learning rate x0.2 at epochs 56 and 64; no end stated",
        "log: 80 epochs",
        "80 epochs",
        "recipe=paper_alexnet recipe.epochs=64",
    ),
    Difference(
        "augmentation on ImageNet",
        "section 5.2; AlexNet script",
        "resized to 256x256, random crop of 224",
        "short side 224 to 308, height and width stretched by up to 15% each, random crop of 224, "
        "mirrored",
        "the paper's, mirrored; crops are resized in one step, with antialiasing",
        "data=ilsvrc12_authors_code",
    ),
    Difference(
        "input and evaluation on ImageNet",
        "AlexNet script",
        "not stated",
        "minus per-pixel mean, /255; short side 256, center crop of 224",
        "channel mean and deviation of train; short side 256, center crop of 224",
        "none",
    ),
    Difference(
        "recipe of Table 3",
        "fb.resnet.torch",
        "not stated",
        "none released",
        "fb.resnet.torch's: SGD, 90 epochs, x0.1 every 30; TWN as long again, from full precision; "
        "TTQ by Adam, as SGD did not train it from scratch in a small trial",
        "none",
    ),
    Difference(
        "networks of Table 3",
        "Table 3; arXiv 1603.05279, 1605.04711",
        "ResNet-18B for all rows",
        "rows as cited: BWN's is ResNet-18, TWN's is 1.5 times as wide",
        "ResNet-18 of any width",
        "model=resnet18b_wide",
    ),
    # The other methods.
    Difference(
        "TWN: threshold",
        "arXiv 1605.04711; a public PyTorch port",
        "0.7 E|w| and one scale per layer",
        "a widely used port: 0.75 E|w| and one scale per filter",
        "the paper's",
        "quantizer=twn_per_filter",
    ),
    Difference(
        "DoReFa: float layers",
        "arXiv 1606.06160; DoReFa-Net's code",
        "first and last",
        "first and last",
        "as the policy says, the same for all methods compared",
        "policy=first_last_float",
    ),
    Difference(
        "BWN: latent weights",
        "arXiv 1603.05279; XNOR-Net's code",
        "as they are (Algorithm 1)",
        "centered over the input channels and clamped to [-1, 1] before each step",
        "as they are",
        "quantizer=bwn_authors_code",
    ),
    Difference(
        "BWN: gradient",
        "arXiv 1603.05279; XNOR-Net's code",
        "straight through (Algorithm 1) or with the scale's derivative (section 3.1)",
        "the latter times n (1 - 1/c)",
        "straight through",
        "quantizer=bwn_authors_code",
    ),
    Difference(
        "BWN: float layers",
        "Table 3; XNOR-Net's code",
        "none, as TTQ's Table 3 cites it",
        "first and last",
        "as the policy says",
        "policy=first_last_float",
    ),
    Difference(
        "BinaryConnect, TernaryConnect: evaluation",
        "arXiv 1511.00363, 1510.03009",
        "float weights after stochastic training, binary ones after deterministic",
        "the same",
        "deterministic in training and evaluation",
        "quantizer=binary_connect quantizer.stochastic=true",
    ),
    Difference(
        "BinaryConnect: learning rate",
        "arXiv 1511.00363; BinaryConnect's code",
        "scaled by Glorot's coefficients, by their squares under SGD",
        "divided by the coefficients (under Adam)",
        "divided by their squares (under SGD)",
        "quantizer=binary_connect quantizer.rate_scaling=glorot",
    ),
    Difference(
        "Deep Compression: codes",
        "arXiv 1510.00149; its released AlexNet",
        "2^b shared values, not counting zero",
        "2^b values, including zero",
        "2^b values, including zero",
        "none",
    ),
)
