"""What a custom training loop uses: the hooks, and which parameters decay."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from ttq_repro.models import CifarResNet
from ttq_repro.quantizers import (
    LSQ,
    SEQ,
    TTQ,
    BinaryConnect,
    DeepCompression,
    Quantizer,
    after_step,
    all_but,
    on_epoch_start,
    parameter_groups,
    quantize_,
    quantized_layers,
)

EPOCHS = 4


def trained(method: Callable[[], Quantizer], rate: float = 0.1) -> nn.Module:
    """A network trained by the loop of the README, one step per epoch."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3))
    quantize_(network, method)
    layers = quantized_layers(network)
    optimizer = torch.optim.SGD(network.parameters(), rate)
    for epoch in range(EPOCHS):
        on_epoch_start(layers, epoch, EPOCHS)
        optimizer.zero_grad()
        F.cross_entropy(network(torch.randn(6, 3, 2, 2)), torch.arange(6) % 3).backward()
        optimizer.step()
        after_step(layers)
    return network


def split_by_decay(network: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    decayed, rest = parameter_groups(network, 0.1, 1e-4)
    assert (decayed["weight_decay"], rest["weight_decay"]) == (1e-4, 0.0)
    return decayed["params"], rest["params"]


def test_weights_in_another_parametrization_decay_too() -> None:
    network = nn.Sequential(weight_norm(nn.Linear(3, 4)), nn.Linear(4, 5))
    quantize_(network, TTQ, all_but(network[0]))
    decayed, rest = split_by_decay(network)
    names = {parameter: name for name, parameter in network.named_parameters()}
    assert {names[one] for one in rest} == {"0.bias", "1.bias"}
    assert {"0.parametrizations.weight.original0", "0.parametrizations.weight.original1"} < {
        names[one] for one in decayed
    }


def test_weights_of_every_kind_of_layer_decay() -> None:
    network = nn.ModuleDict(
        {
            "attention": nn.MultiheadAttention(8, 2),
            "up": nn.ConvTranspose2d(3, 4, 2),
            "embedding": nn.Embedding(5, 8),
            "norm": nn.LayerNorm(8),
            "linear": nn.Linear(8, 4),
            "scaled": nn.Linear(8, 4),
        }
    )
    quantize_(network, SEQ, all_but(network["linear"], network["attention"].out_proj))
    names = {parameter: name for name, parameter in network.named_parameters()}
    decayed, _ = split_by_decay(network)
    assert {names[one] for one in decayed} == {
        "attention.in_proj_weight",
        "attention.out_proj.weight",
        "up.weight",
        "embedding.weight",
        "linear.weight",
        "scaled.parametrizations.weight.original",
    }


def test_a_replaced_latent_weight_stays_clipped() -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    quantize_(network, BinaryConnect)
    layers = quantized_layers(network)
    network.load_state_dict(
        {name: tensor.clone() for name, tensor in network.state_dict().items()}, assign=True
    )
    with torch.no_grad():
        network[1].parametrizations.weight.original.fill_(5)
    after_step(layers)
    assert network[1].parametrizations.weight.original.max() == 1


def the_layer(network: nn.Module) -> tuple[Tensor, Tensor]:
    """The latent and the quantized weight."""
    (layer,) = quantized_layers(network)
    return layer.latent, layer.module.weight


def test_latent_weights_stay_clipped() -> None:
    latent, _ = the_layer(trained(BinaryConnect, rate=10))
    assert latent.abs().max() == 1


def test_weights_are_pruned_and_clustered() -> None:
    method = partial(DeepCompression, density=0.5, fc_bits=2)
    _, weight = the_layer(trained(method))
    assert (weight == 0).float().mean() == 0.5
    assert len(weight.unique()) == 4


@pytest.mark.parametrize("method", [LSQ, SEQ, partial(TTQ, positive_scales=True)])
def test_scales_stay_positive(method: Callable[[], Quantizer]) -> None:
    (layer,) = quantized_layers(trained(method, rate=1000))
    for scale in layer.quantizer.parameters():
        assert (scale > 0).all()


def test_what_decays() -> None:
    network = CifarResNet(8)
    quantize_(network, TTQ)
    names = {id(p): name for name, p in network.named_parameters()}
    decayed, rest = ([names[id(p)] for p in group] for group in split_by_decay(network))
    assert len(decayed) + len(rest) == len(names)
    assert "stem.0.weight" in decayed
    assert sum(name.endswith("original") for name in decayed) == 7
    assert sum("scale" in name for name in decayed) == 14
    # Batch norm has one dimension, as biases have; the network's other weights have more.
    kept = {name for name, p in network.named_parameters() if "scale" not in name and p.ndim == 1}
    assert set(rest) == kept
    assert "linear.bias" in kept


def test_scales_are_spared_on_request() -> None:
    network = CifarResNet(8)
    quantize_(network, lambda: TTQ(decay_scales=False))
    scales = {id(p) for name, p in network.named_parameters() if "scale" in name}
    decayed, rest = split_by_decay(network)
    assert not scales & {id(p) for p in decayed}
    assert scales <= {id(p) for p in rest}


@pytest.mark.parametrize("method", [LSQ, SEQ])
def test_trained_steps_and_ranges_do_not_decay(method: type[Quantizer]) -> None:
    network = CifarResNet(8)
    quantize_(network, method)
    own = {id(p) for layer in quantized_layers(network) for p in layer.quantizer.parameters()}
    decayed, rest = split_by_decay(network)
    assert len(own) == 7
    assert not own & {id(p) for p in decayed}
    assert own <= {id(p) for p in rest}


@pytest.mark.parametrize("decay", [0.0, 1e-3])
def test_scaled_rates_scale_the_step_but_not_the_decay(decay: float) -> None:
    steps = {}
    for scaling in ("none", "glorot"):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(12, 8), nn.Linear(8, 4))
        quantize_(network, partial(BinaryConnect, rate_scaling=scaling))
        optimizer = torch.optim.SGD(parameter_groups(network, 0.1, decay))
        latent, _ = the_layer(network)
        before = latent.detach().clone()
        latent.grad = torch.ones_like(latent)
        optimizer.step()
        steps[scaling] = before - latent.detach()
    factor = (12 / 1.5) ** 0.5
    torch.testing.assert_close(
        steps["glorot"] - steps["none"], 0.1 * (factor - 1) * torch.ones(4, 8)
    )
