import pytest
import torch
import torch.nn.functional as F

from ttq_repro.models import CifarResNet
from ttq_repro.quantizers import TTQ, quantize_


@pytest.mark.parametrize("preactivation", [True, False])
def test_parameters_of_depth_20_as_in_the_released_log(preactivation: bool) -> None:
    network = CifarResNet(20, preactivation=preactivation)
    assert sum(p.numel() for p in network.parameters()) == 269_722
    quantize_(network, TTQ)
    assert sum(p.numel() for p in network.parameters()) == 269_760


@pytest.mark.parametrize("depth", [20, 32, 44, 56])
def test_depth_counts_the_weighted_layers(depth: int) -> None:
    layers = [m for m in CifarResNet(depth).modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(layers) + 1 == depth


@pytest.mark.parametrize("preactivation", [True, False])
def test_shapes_and_gradients(preactivation: bool) -> None:
    network = CifarResNet(8, num_classes=7, preactivation=preactivation)
    logits = network(torch.randn(2, 3, 32, 32))
    assert logits.shape == (2, 7)
    logits.sum().backward()
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize("preactivation", [True, False])
def test_shortcut_into_a_new_stage_takes_fewer_pixels_and_pads_channels(
    preactivation: bool,
) -> None:
    block = CifarResNet(8, preactivation=preactivation).blocks[1]
    torch.nn.init.zeros_(block.conv2.weight)
    x = torch.randn(1, 16, 8, 8)
    out = block(x)
    expected = F.avg_pool2d(x, 2) if preactivation else F.relu(x[:, :, ::2, ::2])
    torch.testing.assert_close(out[:, 8:24], expected)
    assert not out[:, :8].any()
    assert not out[:, 24:].any()


def test_blocks_within_a_stage_as_published() -> None:
    """Eq. 1 of He et al. 2015 with ReLU after the sum, and figure 4e of He et al. 2016."""
    x = torch.randn(2, 16, 8, 8)
    post = CifarResNet(14, preactivation=False).blocks[1]
    inner = post.conv2(F.relu(post.norm1(post.conv1(x))))
    torch.testing.assert_close(post(x), F.relu(post.norm2(inner) + x))
    pre = CifarResNet(14).blocks[1]
    inner = pre.conv1(F.relu(pre.preactivation[0](x)))
    torch.testing.assert_close(pre(x), pre.conv2(F.relu(pre.norm(inner))) + x)


@pytest.mark.parametrize("depth", [2, 19, 21])
def test_refuses_other_depths(depth: int) -> None:
    with pytest.raises(ValueError, match="depth must be 6n"):
        CifarResNet(depth)
