"""What every quantizer promises, whatever its method."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from tests.quantizers.methods import FLOAT, LEVELS, METHODS, decode, prepare
from ttq_repro.quantizers import (
    Quantizer,
    after_step,
    on_epoch_start,
    quantize_,
    quantized_layers,
)

SHAPES = {
    "linear": (6, 10),
    "conv": (4, 3, 3, 3),
    "grouped conv": (4, 1, 3, 3),
    "1x1 conv": (5, 4, 1, 1),
    "single weight": (1, 1),
}


def latent_of(shape: tuple[int, ...], content: str = "normal", dtype: str = "float32") -> Tensor:
    generator = torch.Generator().manual_seed(0)
    weight = {
        "normal": torch.randn(shape, generator=generator) * 0.3,
        "zeros": torch.zeros(shape),
        "equal": torch.full(shape, -0.25),
    }[content]
    return weight.to(getattr(torch, dtype)).requires_grad_()


CASES = [
    *((name, shape, "normal", "float32") for name in METHODS for shape in SHAPES),
    *((name, "conv", content, "float32") for name in METHODS for content in ("zeros", "equal")),
    *((name, "conv", "normal", dtype) for name in METHODS for dtype in ("float64", "bfloat16")),
]


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.parametrize(("name", "shape", "content", "dtype"), CASES)
def test_weights_and_gradients_are_sound(name: str, shape: str, content: str, dtype: str) -> None:
    torch.manual_seed(0)
    latent = latent_of(SHAPES[shape], content, dtype)
    quantizer = prepare(METHODS[name], latent)
    for training in (True, False):
        weight = quantizer.train(training)(latent)
        assert weight.shape == latent.shape
        assert weight.dtype == latent.dtype
        assert weight.isfinite().all()
        if name in LEVELS and (training or name not in FLOAT):
            assert max(len(row.unique()) for row in weight) <= LEVELS[name]
        if weight.requires_grad:
            weight.sum().backward()
    for parameter in (latent, *quantizer.parameters()):
        assert parameter.grad is None or parameter.grad.isfinite().all()
    statistics = quantizer.statistics(latent)
    assert all(torch.tensor(value).isfinite() for value in statistics.values())


def test_no_level_goes_unused(method: str) -> None:
    """A limit on the number of levels alone would let a layer of zeros pass."""
    torch.manual_seed(0)
    latent = latent_of((64, 32, 3, 3))
    quantizer = prepare(METHODS[method], latent)
    used = len(quantizer(latent)[0].unique())
    if LEVELS.get(method, 256) == 256:
        assert used > 30  # Of a filter of 288 weights.
    else:
        # The fourth and fifth value of the released TTQ are for ties, which need equal magnitudes.
        assert used == {"ttq_released": 3}.get(method, LEVELS[method])


@pytest.mark.parametrize("shape", SHAPES)
def test_codes_and_levels_spell_out_the_weight_of_evaluation(method: str, shape: str) -> None:
    latent = latent_of(SHAPES[shape])
    quantizer = prepare(METHODS[method], latent).eval()
    codes, levels = quantizer.codes(latent), quantizer.levels(latent)
    if codes is None or levels is None:
        assert method in FLOAT
        assert torch.equal(quantizer(latent), latent)
        return
    assert torch.equal(decode(quantizer, latent), quantizer(latent))
    assert codes.dtype in (torch.int8, torch.int16)
    assert set(codes.unique().tolist()) <= levels.keys()
    for code, level in levels.items():
        assert (torch.sign(level) == (code > 0) - (code < 0)).all() or (level == 0).all()


#: How many of a method's own parameters weight decay applies to; 0 without an entry.
DECAYED = {
    "ttq": 2, "ttq_released": 2, "ttq_sparsity": 2, "ttq_tied": 1, "ttq_per_filter": 2,
    "deep_compression": 1, "deep_compression_2bit": 1,
}  # fmt: skip


def test_what_takes_part_in_weight_decay(method: str) -> None:
    quantizer = prepare(METHODS[method], latent_of(SHAPES["conv"]))
    decayed = quantizer.decayed()
    assert len(decayed) == DECAYED.get(method, 0)
    own = {id(parameter) for parameter in quantizer.parameters()}
    assert {id(parameter) for parameter in decayed} <= own


def test_evaluation_is_deterministic(method: str) -> None:
    latent = latent_of(SHAPES["conv"])
    quantizer = prepare(METHODS[method], latent).eval()
    assert torch.equal(quantizer(latent), quantizer(latent))


def test_a_copy_is_independent_and_alike(method: str) -> None:
    latent = latent_of(SHAPES["conv"])
    quantizer = prepare(METHODS[method], latent).eval()
    copied = copy.deepcopy(quantizer)
    assert torch.equal(copied(latent), quantizer(latent))
    before = quantizer(latent).detach().clone()
    for parameter in copied.parameters():
        parameter.data += 1
    assert torch.equal(quantizer(latent), before)


def test_the_state_dict_restores_everything(method: str) -> None:
    """As in a resumed run: attached anew to other weights, then loaded strictly."""
    latent, other = latent_of(SHAPES["conv"]), latent_of(SHAPES["conv"]) * -2
    quantizer = prepare(METHODS[method], latent).eval()
    for parameter in quantizer.parameters():
        parameter.data *= 1.5
    restored = METHODS[method]().eval()
    with torch.no_grad():
        restored.initialize(other)
    restored.load_state_dict(quantizer.state_dict(), strict=True)
    assert torch.equal(restored(latent), quantizer(latent))


def test_it_compiles_into_one_graph(method: str) -> None:
    torch._dynamo.reset()
    latent = latent_of(SHAPES["conv"])
    quantizer = prepare(METHODS[method], latent)
    parameters = [latent, *quantizer.parameters()]
    outputs, gradients = [], []
    for call in (quantizer, torch.compile(quantizer, backend="aot_eager", fullgraph=True)):
        torch.manual_seed(0)
        for parameter in parameters:
            parameter.grad = None
        weight = call(latent)
        weight.square().sum().backward()
        outputs.append(weight.detach())
        gradients.append([parameter.grad for parameter in parameters])
    assert any(grad is not None and grad.any() for grad in gradients[0])
    torch.testing.assert_close(outputs[0], outputs[1])
    torch.testing.assert_close(gradients[0], gradients[1])


def test_memory_format_changes_no_value(method: str) -> None:
    latent = latent_of((4, 3, 3, 3)).detach()
    quantizer = prepare(METHODS[method], latent).eval()
    expected = quantizer(latent)
    # Means may be summed in a different order.
    torch.testing.assert_close(quantizer(latent.to(memory_format=torch.channels_last)), expected)


class Network(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, groups=2), nn.Flatten(), nn.Linear(16, 3)
        )


def test_it_trains_in_a_network_under_bf16_autocast(method: str) -> None:
    torch.manual_seed(0)
    network = Network().to(memory_format=torch.channels_last)
    quantize_(network, METHODS[method])
    layers = quantized_layers(network)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    for _ in range(2):
        on_epoch_start(layers, 0, 2)
        with torch.autocast("cpu", torch.bfloat16):
            loss = network(torch.randn(2, 3, 6, 6)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        before = [layer.latent.clone() for layer in layers]
        optimizer.step()
        for layer, old in zip(layers, before, strict=True):
            assert layer.latent.dtype == torch.float32
            assert not torch.equal(layer.latent, old)
        after_step(layers)
    assert all(parameter.isfinite().all() for parameter in network.parameters())


def test_every_method_of_the_configs_is_covered() -> None:
    covered = {type(make()).__name__ for make in METHODS.values()}
    public = {
        name
        for name, thing in vars(__import__("ttq_repro.quantizers").quantizers).items()
        if isinstance(thing, type) and issubclass(thing, Quantizer) and thing is not Quantizer
    }
    assert covered == public
