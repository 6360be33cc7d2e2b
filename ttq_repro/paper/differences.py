"""Where the paper, its released code and its logs disagree, and what our presets do about it.

The released code and logs are those of the repository czhu95/ternarynet. If a row is about another
method, its topic says so, and paper and released code are those of that method.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Difference:
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
        topic="gradient of W_n",
        source="Eq. 7; released AlexNet log",
        paper="Eq. 7 as printed has no minus",
        released="true derivative (in the AlexNet log W_p + W_n stays within 0.006 of 2)",
        ours="true derivative",
        override="quantizer.negative_gradient=as_printed",
    ),
    Difference(
        topic="gradients of W_p and W_n over the layer",
        source="Eq. 7; ternary.py; public PyTorch ports",
        paper="sum (Eq. 7)",
        released="sum; several ports take the mean",
        ours="sum",
        override="quantizer.reduction=mean",
    ),
    Difference(
        topic="gradient of the latent weights",
        source="Eq. 8; ternary.py",
        paper="times W_p, 1 or W_n (Eq. 8)",
        released="the same",
        ours="the same",
        override="quantizer.latent_gradient=straight_through",
    ),
    Difference(
        topic="normalization by the largest weight",
        source="section 3.1; ternary.py",
        paper="yes, before Eq. 6",
        released="no: Delta = t max|w| of the raw weights",
        ours="no: the ternary weights are the same, and Eq. 8 has no factor for it",
        override="quantizer.normalize=max",
    ),
    Difference(
        topic="tie, |w| = Delta",
        source="Eq. 6; ternary.py",
        paper="0",
        released="+1 or -1, a fourth value",
        ours="0",
        override="quantizer.tie=unit",
    ),
    Difference(
        topic="first value of W_p, W_n",
        source="ternary.py",
        paper="not stated",
        released="1.0",
        ours="1.0",
        override="quantizer.init=0.5",
    ),
    Difference(
        topic="sign of W_p, W_n",
        source="ternary.py",
        paper="not stated",
        released="nothing keeps them positive",
        ours="nothing keeps them positive",
        override="++quantizer.positive_scales=true",
    ),
    Difference(
        topic="scales",
        source="Eq. 6; ternary.py; public PyTorch ports",
        paper="two per layer",
        released="two per layer; several ports have two per filter",
        ours="two per layer",
        override="++quantizer.granularity=filter",
    ),
    Difference(
        topic="weight decay on W_p, W_n",
        source="training scripts",
        paper="not stated",
        released="yes, 2e-4 on CIFAR-10, 5e-6 in AlexNet's fully connected layers",
        ours="yes",
        override="quantizer.decay_scales=false",
    ),
    Difference(
        topic="threshold t of AlexNet",
        source="section 5.2; AlexNet script and log",
        paper="0.05",
        released="0.05 in the script, 0.049 in the log",
        ours="0.05",
        override="quantizer.threshold=0.049",
    ),
    Difference(
        topic="constant sparsity",
        source="section 3.1; code of the fixed-sparsity mode",
        paper="W_p and W_n trained as with a threshold",
        released=(
            "none trained: -1, 0 and +1 after tanh, threshold updated once per epoch; the script "
            "imports a module that was not released"
        ),
        ours="trained, without tanh; exact at every step; tanh alone can be switched on",
        override="quantizer=ttq_sparsity quantizer.tanh=true",
    ),
    # Training on CIFAR-10.
    Difference(
        topic="float layers on CIFAR-10",
        source="section 3.1; ResNet-20 log",
        paper="first layer implied",
        released="first convolution only: the log lists scales of the last layer",
        ours=(
            "first convolution only, as in the log; its lowest 20-epoch mean, 8.87%, is the figure "
            "in the paper's Table 1"
        ),
        override="policy=first_last_float",
    ),
    Difference(
        topic="network on CIFAR-10",
        source="section 5.1; CIFAR-10 script",
        paper="ResNet",
        released="pre-activation, shortcuts of 2x2 average pooling and zero channels",
        ours="pre-activation, as in the log",
        override="model.preactivation=false",
    ),
    Difference(
        topic="statistics of batch norm in tests",
        source="CIFAR-10 script",
        paper="not stated",
        released="running ones, which keep 0.9 of their value per step",
        ours="the same (momentum=0.1 in PyTorch)",
        override="reestimate_batch_norm=20",
    ),
    Difference(
        topic="weight decay on batch norm",
        source="CIFAR-10 script",
        paper="not stated",
        released="no",
        ours="no, nor on biases",
        override="none",
    ),
    Difference(
        topic="learning rate of TTQ on CIFAR-10",
        source="section 5.1; ResNet-20 log and script",
        paper="0.1, x0.1 at epochs 80, 120, 300",
        released="log: 0.1, drops from 83 and 124, 2e-4 from 301 of 400; script: 1e-4 at 150",
        ours="0.1, drops at 80 and 120, 160 epochs",
        override="recipe=paper_authors_code",
    ),
    Difference(
        topic="beginning of TTQ on CIFAR-10",
        source="section 5.1; ResNet-20 log",
        paper="learning rate 0.1",
        released="2e-4 in the first epoch (two passes)",
        ours="2e-4 in the first two epochs",
        override="recipe=paper_finetune",
    ),
    Difference(
        topic="length of an epoch",
        source="ResNet-20 log and script",
        paper="not stated",
        released="two passes over the data (390 steps on two GPUs)",
        ours="one pass",
        override="recipe=paper_authors_code",
    ),
    Difference(
        topic="epochs of the float network",
        source="ResNet-20 log; He et al. 2015",
        paper="not stated",
        released="log starts at the learning rate of a parent trained past epoch 300",
        ours="164, drops at 82 and 123 (He et al. 2015)",
        override="none",
    ),
    Difference(
        topic="L2 of the float network",
        source="He et al. 2015",
        paper="not stated; 2e-4 for TTQ",
        released="not stated; 1e-4 of He et al. 2015",
        ours="2e-4",
        override="experiment=table1/resnet20_fp recipe.optimizer.weight_decay=1e-4",
    ),
    Difference(
        topic="batch",
        source="CIFAR-10 script",
        paper="not stated",
        released="128 on each of 2 GPUs, batch norm over each separately",
        ours="128",
        override="recipe.batch_size=256",
    ),
    Difference(
        topic="input on CIFAR-10",
        source="CIFAR-10 script",
        paper="not stated",
        released="padded to 40, crop 32, flip; minus per-pixel mean of train and test; /128 - 1",
        ours="padded to 40 with black, crop 32, flip; channel mean and deviation of train",
        override="none",
    ),
    Difference(
        topic="reported error",
        source="Figure 3; both logs",
        paper="moving average over epochs, window not given",
        released=(
            "ResNet-20 log: final 9.25, best 8.48, last 100 epochs 8.99; AlexNet log: final 42.83, "
            "best 42.38"
        ),
        ours="final epoch, and the mean of the last eighth of the epochs beside it",
        override="none",
    ),
    # ImageNet.
    Difference(
        topic="network of Table 2",
        source="section 5.2; AlexNet script",
        paper="AlexNet with batch norm, without dropout",
        released=(
            "DoReFa-Net's AlexNet: 12x12 first kernels, no batch norm after the first and the last "
            "layer, batch norm eps 1e-4"
        ),
        ours="the released one; full precision with dropout, the usual baseline, and without",
        override="model=alexnet_bn_dropout",
    ),
    Difference(
        topic="initial weights of AlexNet",
        source="AlexNet log",
        paper="not stated",
        released=(
            "not in the script; the log's root mean squares after one epoch fit uniform numbers: "
            "Glorot and Bengio's (2010) in convolutions, within ±1.43 sqrt(3 / inputs) in linear "
            "layers"
        ),
        ours="normal numbers of He et al. (2015), in convolutions 1.5 to 5.7 times as large",
        override="model=alexnet_bn +model.init=released",
    ),
    Difference(
        topic="float layers on ImageNet",
        source="section 5.2; AlexNet script",
        paper="first convolution and last layer",
        released="the same",
        ours="the same",
        override="none",
    ),
    Difference(
        topic="AlexNet's weight decay and Adam",
        source="section 5.2; AlexNet script",
        paper="L2 5e-6",
        released=(
            "L2 5e-6 on the fully connected layers and their scales alone; Adam's epsilon 1e-5"
        ),
        ours="on all layers; epsilon 1e-8",
        override="recipe=paper_alexnet_authors_code",
    ),
    Difference(
        topic="length of AlexNet's training",
        source="section 5.2; AlexNet log",
        paper="learning rate x0.2 at epochs 56 and 64; no end stated",
        released="log: 80 epochs",
        ours="80 epochs",
        override="recipe=paper_alexnet recipe.epochs=64",
    ),
    Difference(
        topic="augmentation on ImageNet",
        source="section 5.2; AlexNet script",
        paper="resized to 256x256, random crop of 224",
        released=(
            "short side 224 to 307, height and width stretched by up to 15% each but not beyond "
            "the photograph's own, random crop of 224, mirrored"
        ),
        ours=(
            "the paper's, mirrored; crops are resized in one step, with antialiasing; the released "
            "one may stretch beyond the photograph's own, which a stored one no longer tells"
        ),
        override="data=ilsvrc12_authors_code",
    ),
    Difference(
        topic="photographs of ImageNet as stored",
        source="AlexNet script",
        paper="resized to 256x256",
        released="JPEGs as distributed",
        ours=(
            "short side 256 (308 for the released augmentation), JPEG of quality 90, turned as "
            "their EXIF says"
        ),
        override="data=ilsvrc12 data.quality=100",
    ),
    Difference(
        topic="input and evaluation on ImageNet",
        source="AlexNet script",
        paper="not stated",
        released="minus per-pixel mean, /255; short side 256, center crop of 224",
        ours="channel mean and deviation of train; short side 256, center crop of 224",
        override="none",
    ),
    Difference(
        topic="recipe of Table 3",
        source="fb.resnet.torch",
        paper="not stated",
        released="none released",
        ours=(
            "fb.resnet.torch's: SGD, 90 epochs, x0.1 every 30; TWN as long again, from full "
            "precision; TTQ by Adam, as SGD did not train it from scratch in a small trial"
        ),
        override="none",
    ),
    Difference(
        topic="networks of Table 3",
        source="Table 3; arXiv 1603.05279, 1605.04711",
        paper="ResNet-18B for all rows",
        released="rows as cited: BWN's is ResNet-18, TWN's is 1.5 times as wide",
        ours="ResNet-18 of any width",
        override="model=resnet18b_wide",
    ),
    # The other methods.
    Difference(
        topic="TWN: threshold",
        source="arXiv 1605.04711; a public PyTorch port",
        paper="0.7 E|w| and one scale per layer",
        released="a widely used port: 0.75 E|w| and one scale per filter",
        ours="the paper's",
        override="quantizer=twn_per_filter",
    ),
    Difference(
        topic="DoReFa: float layers",
        source="arXiv 1606.06160; DoReFa-Net's code",
        paper="first and last",
        released="first and last",
        ours="as the policy says, the same for all methods compared",
        override="quantizer=dorefa policy=first_last_float",
    ),
    Difference(
        topic="BWN: latent weights",
        source="arXiv 1603.05279; XNOR-Net's code",
        paper="as they are (Algorithm 1)",
        released="centered over the input channels and clamped to [-1, 1] before each step",
        ours="as they are",
        override="quantizer=bwn_authors_code",
    ),
    Difference(
        topic="BWN: gradient",
        source="arXiv 1603.05279; XNOR-Net's code",
        paper="straight through (Algorithm 1) or with the scale's derivative (section 3.1)",
        released="the latter times n (1 - 1/c)",
        ours="straight through",
        override="quantizer=bwn_authors_code",
    ),
    Difference(
        topic="BWN: float layers",
        source="Table 3; XNOR-Net's code",
        paper="none, as TTQ's Table 3 cites it",
        released="first and last",
        ours="as the policy says",
        override="quantizer=bwn policy=first_last_float",
    ),
    Difference(
        topic="BinaryConnect, TernaryConnect: evaluation",
        source="arXiv 1511.00363, 1510.03009",
        paper="float weights after stochastic training, binary ones after deterministic",
        released="the same",
        ours="deterministic in training and evaluation",
        override="quantizer=binary_connect quantizer.stochastic=true",
    ),
    Difference(
        topic="BinaryConnect: learning rate",
        source="arXiv 1511.00363; BinaryConnect's code",
        paper="scaled by Glorot's coefficients, by their squares under SGD",
        released="divided by the coefficients (under Adam)",
        ours="divided by their squares (under SGD)",
        override="quantizer=binary_connect quantizer.rate_scaling=glorot",
    ),
    Difference(
        topic="Deep Compression: codes",
        source="arXiv 1510.00149; its released AlexNet",
        paper="2^b shared values, not counting zero",
        released="2^b values, including zero",
        ours="2^b values, including zero",
        override="none",
    ),
)
