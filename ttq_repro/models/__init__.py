"""Float networks that know nothing of quantization."""

from ttq_repro.models.alexnet_bn import AlexNetBN
from ttq_repro.models.cifar_resnet import CifarResNet
from ttq_repro.models.resnet18 import ResNet18

__all__ = ["AlexNetBN", "CifarResNet", "ResNet18"]
