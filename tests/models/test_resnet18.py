import pytest
import torch
import torchvision
from hydra.utils import instantiate

from ttq_repro.models import ResNet18
from ttq_repro.quantizers import TTQ, FirstLast, quantize_
from ttq_repro.runs.config import compose_config


def parameters(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_parameters_of_the_plain_network() -> None:
    assert parameters(ResNet18()) == 11_689_512


def test_it_is_torchvisions_network() -> None:
    ours = ResNet18(num_classes=10)
    ours(torch.randn(4, 3, 64, 64))  # Moves the running statistics from where they start.
    theirs = torchvision.models.resnet18(num_classes=10)
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(ours.eval()(images), theirs.eval()(images))


def test_parameters_with_the_scales_of_nineteen_ternary_layers() -> None:
    network = ResNet18()
    decisions = quantize_(network, TTQ, FirstLast(quantize_last=False))
    # 20 convolutions, three of them shortcuts, and the last layer; the ends stay float.
    assert [d.name for d in decisions if not d.quantize] == ["stem.0", "linear"]
    assert parameters(network) == 11_689_512 + 2 * 19


def test_every_stage_is_half_as_large_and_twice_as_wide() -> None:
    network = ResNet18(num_classes=10)
    shapes = []
    x = network.stem(torch.zeros(1, 3, 224, 224))
    for block in network.blocks:
        x = block(x)
        shapes.append(tuple(x.shape[1:]))
    sizes = [(64, 56, 56), (128, 28, 28), (256, 14, 14), (512, 7, 7)]
    assert shapes == [size for size in sizes for _ in range(2)]


def test_the_wide_network_has_half_again_as_many_channels() -> None:
    node = compose_config("train", ["model=resnet18b_wide"])["model"]
    assert node.pop("name") == "resnet18b_wide"
    wide = instantiate(node, num_classes=1000)
    plain = [m for m in ResNet18().modules() if isinstance(m, torch.nn.Conv2d)]
    for narrow, layer in zip(
        plain, (m for m in wide.modules() if isinstance(m, torch.nn.Conv2d)), strict=True
    ):
        assert layer.out_channels == narrow.out_channels * 3 // 2
        assert layer.kernel_size == narrow.kernel_size


@pytest.mark.parametrize("size", [32, 64])
def test_gradients_reach_every_parameter(size: int) -> None:
    network = ResNet18(num_classes=5)
    logits = network(torch.randn(2, 3, size, size))
    assert logits.shape == (2, 5)
    logits.sum().backward()
    assert all(p.grad is not None for p in network.parameters())
