"""Policies, and what quantize_ refuses."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from ttq_repro.quantizers import (
    TTQ,
    TWN,
    BinaryConnect,
    Decision,
    FirstLast,
    all_but,
    quantize_,
    quantized_layers,
)
from ttq_repro.quantizers.attach import Policy


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, groups=2), nn.Linear(4, 2)
    )


def names(decisions: list[Decision]) -> list[str]:
    return [decision.name for decision in decisions if decision.quantize]


@pytest.mark.parametrize(
    ("policy", "chosen"),
    [
        (None, ["2", "3"]),
        (FirstLast(), ["2", "3"]),
        (FirstLast(quantize_first=True), ["0", "2", "3"]),
        (FirstLast(quantize_last=False), ["2"]),
        (FirstLast(quantize_first=True, quantize_last=False), ["0", "2"]),
    ],
)
def test_first_and_last(policy: FirstLast | None, chosen: list[str]) -> None:
    model = network()
    decisions = quantize_(model, TTQ, policy)
    assert [decision.name for decision in decisions] == ["0", "2", "3"], "each layer, norms aside"
    assert names(decisions) == chosen
    assert [layer.name for layer in quantized_layers(model)] == chosen
    reasons = {decision.name: decision.reason for decision in decisions}
    assert (reasons["0"] == "first layer") == ("0" not in chosen)
    assert (reasons["3"] == "last layer") == ("3" not in chosen)
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            values = len(module.weight.unique())
            assert (values <= 3) == (name in chosen), name


def test_all_but_goes_by_identity_not_by_name() -> None:
    model = nn.ModuleDict({"conv1": nn.Linear(2, 2), "conv10": nn.Linear(2, 2)})
    assert names(quantize_(model, TTQ, all_but(model["conv1"]))) == ["conv10"]


def test_a_function_is_a_policy() -> None:
    model = network()

    def grouped(model: nn.Module) -> list[Decision]:
        return [
            Decision(name, module, module.groups > 1, "grouped")
            for name, module in model.named_modules()
            if isinstance(module, nn.Conv2d)
        ]

    assert names(quantize_(model, TTQ, grouped)) == ["2"]


def test_each_layer_gets_a_quantizer_of_its_own() -> None:
    model = network()
    quantize_(model, TTQ)
    first, second = (layer.quantizer for layer in quantized_layers(model))
    assert first is not second
    assert first.positive_scale is not second.positive_scale


def test_the_latent_weight_is_the_parameter_that_was_there() -> None:
    model = network()
    weight = model[2].weight
    quantize_(model, TTQ)
    layer = quantized_layers(model)[0]
    assert layer.latent is weight
    assert layer.module is model[2]


# What quantize_ refuses.


def test_a_policy_that_chooses_nothing() -> None:
    model = network()
    with pytest.raises(ValueError, match="the policy chose none of the 3 layers of Sequential"):
        quantize_(model, TTQ, all_but(model[0], model[2], model[3]))
    with pytest.raises(ValueError, match="the policy chose none of the 1 layers of Linear"):
        quantize_(nn.Linear(2, 2), TTQ)


def test_a_module_that_is_not_the_models() -> None:
    with pytest.raises(
        ValueError, match=r"^no layers of this model that can be quantized: \['ReLU'\]$"
    ):
        quantize_(network(), TTQ, all_but(nn.ReLU()))


def test_a_layer_quantized_twice() -> None:
    model = network()
    quantize_(model, TTQ)
    with pytest.raises(ValueError, match="2: the weight is already quantized"):
        quantize_(model, TWN)
    assert all(isinstance(layer.quantizer, TTQ) for layer in quantized_layers(model))


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_a_module_that_has_no_filters_or_no_weights() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.ConvTranspose2d(2, 2, 1), nn.Linear(0, 3))

    def policy(place: int) -> Policy:
        return lambda model: [Decision(str(n), model[n], True, "all") for n in (0, place)]

    for place, kind in ((1, "ReLU"), (2, "ConvTranspose2d")):
        with pytest.raises(
            TypeError, match=f"{place}: {kind} is not a convolution or linear layer"
        ):
            quantize_(model, TTQ, policy(place))
    with pytest.raises(ValueError, match=r"3: there are no latent weights.* \(3, 0\)"):
        quantize_(model, TTQ, policy(3))
    assert not quantized_layers(model), "nothing is attached to the layer before either"


def test_a_layer_that_another_library_has_parametrized() -> None:
    model = network()
    parametrizations.weight_norm(model[3])
    with pytest.raises(ValueError, match="3: the weight is already quantized or parametrized"):
        quantize_(model, TTQ)


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
@pytest.mark.parametrize("computed_by", [nn.utils.weight_norm, nn.utils.spectral_norm])
def test_a_weight_that_is_no_parameter(computed_by: Callable[[nn.Module], nn.Module]) -> None:
    model = network()
    computed_by(model[3])
    with pytest.raises(ValueError, match=r"^3: the weight is not a parameter of the layer$"):
        quantize_(model, TTQ)
    assert not quantized_layers(model), "nothing is attached to the layers before it either"


@pytest.mark.parametrize("last", [nn.LazyLinear(2), nn.Linear(4, 2, device="meta")])
def test_a_weight_without_values(last: nn.Module) -> None:
    model = network()
    model[3] = last
    with pytest.raises(ValueError, match=r"^3: the weight is not initialized$"):
        quantize_(model, TTQ)
    assert not quantized_layers(model), "nothing is attached to the layers before it either"


def test_a_layer_that_the_policy_names_twice() -> None:
    model = network()

    def twice(model: nn.Module) -> list[Decision]:
        return 2 * FirstLast()(model)

    with pytest.raises(ValueError, match="2: chosen twice by the policy"):
        quantize_(model, TTQ, twice)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite(value: float) -> None:
    model = network()
    with torch.no_grad():
        model[3].weight[1, 2] = value
    with pytest.raises(ValueError, match="3: latent weights hold NaN or infinite values"):
        quantize_(model, TTQ)
    assert not quantized_layers(model), "nothing is attached to the layers before it either"


def test_a_quantizer_for_all_layers_together() -> None:
    with pytest.raises(TypeError, match=r"of its own: pass TTQ or lambda: TTQ\(\.\.\.\)$"):
        quantize_(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), TTQ())


def test_a_factory_of_something_else() -> None:
    model = network()
    with pytest.raises(TypeError, match=r"^the factory made a ReLU, not a quantizer$"):
        quantize_(model, nn.ReLU)  # type: ignore[arg-type]
    assert not quantized_layers(model)


def test_a_factory_that_changes_its_mind() -> None:
    model, made = network(), iter([TTQ(), nn.ReLU()])
    with pytest.raises(TypeError, match=r"^the factory made a ReLU, not a quantizer$"):
        quantize_(model, lambda: next(made))  # type: ignore[arg-type, return-value]
    assert not quantized_layers(model)


def test_a_factory_of_a_single_quantizer() -> None:
    """Its scales would be those of all layers."""
    model, one = network(), TTQ()
    with pytest.raises(ValueError, match=r"^the factory made the same quantizer twice"):
        quantize_(model, lambda: one)
    assert not quantized_layers(model)


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.bool, torch.complex64])
def test_weights_that_are_no_real_numbers(dtype: torch.dtype) -> None:
    model = network()
    model[3].weight = nn.Parameter(torch.ones(2, 4).to(dtype), requires_grad=False)
    with pytest.raises(TypeError, match=f"3: latent weights must be floating point, got {dtype}"):
        quantize_(model, TTQ)


def test_a_bad_option_leaves_the_model_alone() -> None:
    model = network()
    with pytest.raises(ValueError, match="threshold must lie in"):
        quantize_(model, partial(TTQ, threshold=1.5))
    assert not any(parametrize.is_parametrized(module) for module in model.modules())


@pytest.mark.parametrize("shared", [False, True])
def test_a_quantizer_that_fails_leaves_the_model_alone(shared: bool) -> None:
    class TooPicky(BinaryConnect):
        def initialize(self, latent: torch.Tensor) -> None:
            super().initialize(latent)
            if latent.dim() == 2:
                raise RuntimeError("no linear layers")

    model = network()
    if shared:
        model.insert(3, nn.Conv2d(4, 4, 3, groups=2))
        model[3].weight = model[2].weight
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(RuntimeError, match="no linear layers"):
        quantize_(model, partial(TooPicky, rescale=True))
    assert not any(parametrize.is_parametrized(module) for module in model.modules())
    assert before.keys() == model.state_dict().keys()
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
