"""Equal to Captum on plain module nets, where Captum is right, under each of its rules.

Captum 0.9.0 multiplies the relevance of the last layer by its own output and starts from 1, deletes the rules
after one call, and knows module nets only; its bias counts in the denominator unless told otherwise.
"""

import pytest
import torch
from captum.attr import LRP
from captum.attr._utils import lrp_rules as theirs
from torch import nn

from pellucid._core.rules import lrp_named as ours
from pellucid._core.rules.lrp import relevances
from pellucid._core.rules.lrp_composites import Assign, Composite
from tests.rules.lrp import definitions as define

DEFAULT = Composite("Captum's default", (Assign(ours.EpsilonRule()),))
RULES = {
    "epsilon": ("EpsilonRule", {"epsilon": 0.05}),
    "epsilon, default": ("EpsilonRule", {}),
    "gamma": ("GammaRule", {"gamma": 0.6}),
    "gamma, no bias": ("GammaRule", {"set_bias_to_zero": True}),
    "alpha1 beta0": ("Alpha1_Beta0_Rule", {}),
    "alpha1 beta0, no bias": ("Alpha1_Beta0_Rule", {"set_bias_to_zero": True}),
}


def mlp():
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 7), nn.Tanh(), nn.Linear(7, 3)), (6,)


def cnn():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 3, bias=False),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(5, 3, 1),
    ), (2, 8, 8)


def second(y):
    return y.flatten(1)[:, 1]


def both(model, x, assigned):
    for number, (name, arguments) in assigned.items():
        model[number].rule = getattr(ours, name)(**arguments)
    mine = relevances(model, (x,), second, DEFAULT)
    again = relevances(model, (x,), second, DEFAULT)
    assert torch.equal(mine.relevances[0], again.relevances[0])
    for number, (name, arguments) in assigned.items():
        assert isinstance(model[number].rule, getattr(ours, name))
        model[number].rule = getattr(theirs, name)(**arguments)
    target = 1 if model(x).dim() == 2 else (1, 0, 0)
    other, delta = LRP(model).attribute(x.requires_grad_(), target=target, return_convergence_delta=True)
    return mine, other, delta


@pytest.mark.parametrize("build", [mlp, cnn])
@pytest.mark.parametrize("rule", RULES)
def test_one_rule_in_all_layers(build, rule):
    torch.manual_seed(11)
    model, shape = build()
    model = model.double()
    x = torch.randn(3, *shape, dtype=torch.float64)
    weighted = [n for n, module in enumerate(model) if isinstance(module, nn.Linear | nn.Conv2d | nn.MaxPool2d)]
    mine, other, delta = both(model, x, dict.fromkeys(weighted, RULES[rule]))
    torch.testing.assert_close(mine.relevances[0], other.detach(), rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(mine.delta, delta.detach(), rtol=1e-6, atol=1e-8)


def test_mixed_rules():
    torch.manual_seed(12)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)).double()
    x = torch.randn(4, 6, dtype=torch.float64)
    mine, other, _ = both(model, x, {0: RULES["gamma"], 2: RULES["alpha1 beta0"], 4: RULES["epsilon"]})
    torch.testing.assert_close(mine.relevances[0], other.detach(), rtol=1e-6, atol=1e-8)


def test_identity_after_a_rectifier_follows_its_definition_and_captum_does_not():
    torch.manual_seed(12)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)).double()
    x = torch.randn(4, 6, dtype=torch.float64)
    mine, other, _ = both(model, x, {2: ("IdentityRule", {})})
    for example in range(4):
        value = model[:4](x[example].detach())
        relevance = model[4](value) * torch.tensor([0, 1, 0])
        relevance = define.epsilon(value, model[4].weight, model[4].bias, relevance, 1e-9)
        relevance = define.epsilon(x[example].detach(), model[0].weight, model[0].bias, relevance, 1e-9)
        torch.testing.assert_close(mine.relevances[0][example], relevance.detach(), rtol=1e-6, atol=1e-8)
    assert (mine.relevances[0] - other).abs().max() > 1e-3


def test_identity_in_batch_norm():
    torch.manual_seed(13)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 2)).double()
    model(torch.randn(9, 2, 4, 4, dtype=torch.float64))
    model.eval()
    mine, other, _ = both(model, torch.randn(4, 2, 4, 4, dtype=torch.float64), {1: ("IdentityRule", {})})
    torch.testing.assert_close(mine.relevances[0], other.detach(), rtol=1e-6, atol=1e-8)
