"""Float networks that know nothing of quantization."""

from ttq_repro.models.cifar_resnet import CifarResNet

__all__ = ["CifarResNet"]
