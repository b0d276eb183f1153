"""Layers whose values are removed or exchanged: the method for inputs, on the rest of the model."""

import pytest
import torch
from torch import nn

import pellucid
from pellucid.attr import (
    FeatureAblation,
    FeaturePermutation,
    LayerFeatureAblation,
    LayerFeaturePermutation,
    NeuronFeatureAblation,
)
from tests.layers.models import ConvNet, Net, draw, seeded

pytestmark = pytest.mark.filterwarnings("ignore::pellucid.errors.SamplingWarning")
SETTINGS = {
    "ablation": (LayerFeatureAblation, FeatureAblation, {}),
    "permutation": (LayerFeaturePermutation, FeaturePermutation, {"n_repeats": 3, "seed": 4}),
}
every = pytest.mark.parametrize("name", SETTINGS)


class Maps(nn.Module):
    """An output of classes and places, of which a target names one."""

    def __init__(self):
        super().__init__()
        self.net, self.out = Net(), nn.Linear(3, 8)

    def forward(self, x):
        return self.out(torch.tanh(self.net(x))).reshape(-1, 4, 2) ** 2


@every
@pytest.mark.parametrize("target", [(3, 1), [(0, 1), (3, 0), (2, 1)]])
def test_the_target_is_applied_once(name, target):
    """Twice, it would index the classes by an example's number, or fail."""
    method, plain, given = SETTINGS[name]
    model, x = seeded(1, Maps), draw(3, 5, seed=1)
    found = method(model, model.net.act1).attribute(x, target=target, **given)
    rest = pellucid.rest_of(model, model.net.act1, x)
    expected = plain(rest).attribute(rest.values, target=target, **given)
    assert torch.allclose(found, expected, atol=1e-13)
    assert found.any()


@every
def test_a_target_per_example_with_as_many_classes_as_examples(name):
    """Where a second application would not fail, but take other values."""
    method, plain, given = SETTINGS[name]
    net, x = seeded(1, Net), draw(3, 5, seed=1)
    found = method(net, net.act1).attribute(x, target=[2, 0, 1], **given)

    def after(z):
        return net.three(net.act2(net.two(z)))

    with torch.no_grad():
        z = net.act1(net.one(x))
    assert torch.allclose(found, plain(after).attribute(z, target=[2, 0, 1], **given), atol=1e-13)


@every
def test_features_of_a_layer_of_images(name):
    """Groups of channels, also of a layer's input."""
    method, plain, given = SETTINGS[name]
    net, x = seeded(3, ConvNet), draw(3, 2, 6, 6, seed=1)
    groups = torch.tensor([0, 0, 1, 1]).reshape(4, 1, 1)
    found = method(net, net.pool).attribute(x, target=1, layer_mask=groups, **given)
    rest = pellucid.rest_of(net, net.pool, x)
    expected = plain(rest).attribute(rest.values, target=1, feature_mask=groups, **given)
    assert torch.allclose(found, expected, atol=1e-13)


def test_a_neuron_under_ablation():
    net, x = seeded(1, Net), draw(3, 5, seed=1)
    found = NeuronFeatureAblation(net, net.act1).attribute(x, 2, baselines=0.2)
    expected = FeatureAblation(lambda v: net.act1(net.one(v))).attribute(x, 0.2, 2)
    assert torch.allclose(found, expected, atol=1e-13)
