"""AlexNet-BN against the authors' released log: its layers, and how many parameters they have."""

import pytest
import torch

from ttq_repro.models import AlexNetBN
from ttq_repro.quantizers import TTQ, FirstLast, quantize_, quantized_layers

#: conv0 to conv4, fc0, fc1 and fct of the log.
WEIGHTS = [
    (96, 3, 12, 12),
    (256, 48, 5, 5),
    (384, 256, 3, 3),
    (384, 192, 3, 3),
    (256, 192, 3, 3),
    (4096, 9216),
    (4096, 4096),
    (1000, 4096),
]
#: Their outputs for an image of 224x224: channels and side, or units.
OUTPUTS = [(96, 54), (256, 54), (384, 27), (384, 14), (256, 14), (4096,), (4096,), (1000,)]


@pytest.fixture(scope="module")
def network() -> AlexNetBN:
    return AlexNetBN()


def weighted(network: torch.nn.Module) -> list[torch.nn.Module]:
    return [m for m in network.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]


def test_parameters_and_scales_as_in_the_released_log(network: AlexNetBN) -> None:
    assert sum(p.numel() for p in network.parameters()) == 60_981_224
    assert [tuple(layer.weight.shape) for layer in weighted(network)] == WEIGHTS
    ternary = AlexNetBN()
    quantize_(ternary, TTQ, FirstLast(quantize_last=False))
    layers = quantized_layers(ternary)
    assert [tuple(layer.latent.shape) for layer in layers] == WEIGHTS[1:-1]
    assert sum(p.numel() for layer in layers for p in layer.quantizer.parameters()) == 12
    assert sum(p.numel() for p in ternary.parameters()) == 60_981_236


def test_size_of_every_layers_output(network: AlexNetBN) -> None:
    sizes: list[tuple[int, ...]] = []
    hooks = [
        layer.register_forward_hook(lambda _, __, output: sizes.append(tuple(output.shape[1:])))
        for layer in weighted(network)
    ]
    with torch.no_grad():
        network.eval()(torch.zeros(1, 3, 224, 224))
    for hook in hooks:
        hook.remove()
    assert sizes == [size if len(size) == 1 else (*size, size[1]) for size in OUTPUTS]


def test_initial_weights_fit_the_released_log() -> None:
    """Its root mean squares after one epoch, during which Adam moves weights by some 0.001."""
    log = {
        "features.0": 0.0146, "features.2.0": 0.0187, "features.3.0": 0.0204,
        "features.4.0": 0.0215, "features.5.0": 0.0242, "classifier.0.0": 0.0122,
        "classifier.1.0": 0.0191, "classifier.2": 0.0242,
    }  # fmt: skip
    network = AlexNetBN(init="released")
    for name, after_one_epoch in log.items():
        weight = network.get_submodule(name).weight
        assert weight.square().mean().sqrt().item() == pytest.approx(after_one_epoch, abs=0.0035)
        assert weight.abs().max() < 1.8 * weight.square().mean().sqrt(), "uniform"


def test_an_unknown_init_is_an_error() -> None:
    with pytest.raises(ValueError, match="init must be one of kaiming_normal, released"):
        AlexNetBN(init="zeros")  # type: ignore[arg-type]


def test_pools_between_batch_norm_and_relu(network: AlexNetBN) -> None:
    kinds = [[type(m).__name__ for m in block] for block in list(network.features)[2:]]
    pooled = ["Conv2d", "BatchNorm2d", "MaxPool2d", "ReLU"]
    assert kinds == [pooled, pooled, ["Conv2d", "BatchNorm2d", "ReLU"], pooled]
    assert {m.eps for m in network.modules() if "BatchNorm" in type(m).__name__} == {1e-4}


def test_dropout_takes_half_of_the_hidden_units_in_training_alone() -> None:
    network = AlexNetBN(num_classes=3, dropout=0.5).eval()
    hidden_layer = network.classifier[0]
    features = torch.rand(2, 256 * 6 * 6)
    with torch.no_grad():
        hidden = hidden_layer(features)
        assert torch.equal(hidden_layer(features), hidden)
        hidden_layer[-1].train()
        dropped = hidden_layer(features)[hidden > 0] == 0
    assert 0.45 < dropped.float().mean() < 0.55
