"""The rest of a model as a function, explained by methods that have no class for layers."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import pellucid
from pellucid.attr import (
    DeepLift,
    FeatureAblation,
    IntegratedGradients,
    KernelShap,
    LayerDeepLift,
    LayerFeatureAblation,
    LayerIntegratedGradients,
    ShapleyValues,
)
from pellucid.errors import InvalidValueError, UnsupportedModelError


class Around(nn.Module):
    """A layer with a path around it, in a model whose rows are independent."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.second = nn.Linear(4, 2)

    def forward(self, x, scale=1.0):
        return self.second(torch.tanh(self.first(x))) * x[:, :1].sin() * scale


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Around().double()


@pytest.fixture
def x():
    return torch.randn(5, 3, dtype=torch.float64)


def test_shapley_values_of_a_layer(model, x):
    rest = pellucid.rest_of(model, "first", x)
    found = ShapleyValues(rest).attribute(rest.values, baselines=0.2, target=1)

    def by_hand(z):
        return model.second(torch.tanh(z)) * x[:, :1].sin()

    alone = [
        ShapleyValues(lambda z, i=i: model.second(torch.tanh(z)) * x[i : i + 1, :1].sin()).attribute(
            model.first(x[i : i + 1]).detach(), baselines=0.2, target=1
        )
        for i in range(5)
    ]
    assert torch.allclose(found, torch.cat(alone), atol=1e-13)
    full, empty = by_hand(rest.values)[:, 1], by_hand(torch.full_like(rest.values, 0.2))[:, 1]
    assert torch.allclose(found.sum(1), full - empty, atol=1e-13)
    regression = KernelShap(rest).attribute(rest.values, baselines=0.2, target=1)
    assert torch.allclose(regression, found, atol=1e-10)


def test_methods_with_a_class_for_layers_agree(model, x):
    rest = pellucid.rest_of(model, model.first, x)
    start = model.first(torch.zeros_like(x)).detach()
    assert torch.allclose(
        IntegratedGradients(rest).attribute(rest.values, start, target=0),
        LayerIntegratedGradients(model, model.first).attribute(x, target=0),
        atol=1e-13,
    )
    assert torch.allclose(
        DeepLift(rest).attribute(rest.values, start, target=0),
        LayerDeepLift(model, model.first).attribute(x, target=0),
        atol=1e-13,
    )
    ablated = LayerFeatureAblation(model, model.first).attribute(x, 0.2, target=0)
    assert torch.allclose(FeatureAblation(rest).attribute(rest.values, 0.2, target=0), ablated, atol=1e-13)


def test_arguments_and_the_layers_input(model, x):
    rest = pellucid.rest_of(model, "second", x, 2.0, at_input=True)
    assert torch.allclose(rest.values, torch.tanh(model.first(x)))
    assert torch.allclose(rest(rest.values), model(x, 2.0))
    twice = rest(torch.cat([rest.values, 0 * rest.values]))
    assert torch.allclose(twice[:5], model(x, 2.0))
    assert torch.allclose(twice[5:], model.second.bias * x[:, :1].sin() * 2)


@pytest.mark.parametrize("values", [(torch.zeros(3, 4),), (), (torch.zeros(5, 4), torch.zeros(5, 4))])
def test_refuses_other_rows(model, x, values):
    with pytest.raises(InvalidValueError, match="values is"):
        pellucid.rest_of(model, "first", x)(*values)


def test_the_model_is_warned_about_and_left_alone(x):
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).double()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.warns(pellucid.errors.TrainingModeWarning):
        rest = pellucid.rest_of(model, "0", x)
    with pytest.warns(pellucid.errors.PellucidWarning):
        ShapleyValues(rest).attribute(rest.values, target=0)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("reentrant", [False, True])
def test_layers_inside_checkpoints(model, x, reentrant):
    def forward(v):
        inside = checkpoint(lambda z: torch.tanh(model.first(z)), v, use_reentrant=reentrant)
        return model.second(inside)

    rest = pellucid.rest_of(forward, model.first, x.requires_grad_())
    with pytest.raises(UnsupportedModelError, match="checkpoint"):
        IntegratedGradients(rest).attribute(rest.values, target=0)
    found = ShapleyValues(rest).attribute(rest.values, target=0)
    difference = rest(rest.values) - rest(0 * rest.values)
    assert torch.allclose(found.sum(1), difference[:, 0].detach(), atol=1e-12)


def test_rows_that_are_no_examples_in_a_later_chunk_only():
    """A memory with as many slots as examples is cut like them; one chunk of examples may not notice."""
    torch.manual_seed(0)
    bank = torch.randn(4, 3, dtype=torch.float64)
    bank[:2] = bank[0]

    def forward(v, memory):
        return (v @ memory.T).sum(1) * torch.arange(1, 3, dtype=torch.float64).sum() + v.prod(1)

    x = torch.randn(4, 3, dtype=torch.float64)
    whole = FeatureAblation(forward).attribute(x, additional_forward_args=pellucid.shared(bank))
    with pytest.warns(pellucid.errors.ExpansionWarning):
        cut = FeatureAblation(forward).attribute(x, additional_forward_args=bank)
    assert torch.allclose(cut, whole, atol=1e-12)
