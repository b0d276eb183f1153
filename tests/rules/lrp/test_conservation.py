"""Relevance is conserved where nothing absorbs it, and the audit accounts for every absorbed share."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pellucid._core.rules.lrp import relevances
from pellucid._core.rules.lrp_composites import (
    CPLRP,
    Assign,
    AttnLRP,
    Composite,
    EpsilonAlpha2Beta1,
    EpsilonGammaBox,
    EpsilonPlus,
)
from pellucid._core.rules.lrp_rules import Epsilon, Gamma, ZPlus


class Block(nn.Module):
    def __init__(self, channels, bias):
        super().__init__()
        self.one = nn.Conv2d(channels, channels, 3, padding=1, bias=bias)
        self.two = nn.Conv2d(channels, channels, 3, padding=1, bias=bias)

    def forward(self, x):
        return F.relu(x + self.two(F.relu(self.one(x))))


class ResNet(nn.Module):
    def __init__(self, bias=False):
        super().__init__()
        self.stem = nn.Conv2d(2, 16, 3, padding=1, bias=bias)
        self.blocks = nn.Sequential(Block(16, bias), Block(16, bias))
        self.down = nn.Conv2d(16, 24, 1, stride=2, bias=bias)
        self.last = Block(24, bias)
        self.head = nn.Linear(24, 4, bias=bias)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.stem(x)), 2)
        x = self.last(self.down(self.blocks(x)))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


def mlp(bias=False):
    return nn.Sequential(
        nn.Linear(12, 10, bias=bias),
        nn.ReLU(),
        nn.Linear(10, 9, bias=bias),
        nn.GELU(),
        nn.Linear(9, 4, bias=bias),
    )


def cnn(bias=False):
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1, bias=bias),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 5, 3, bias=bias),
        nn.LeakyReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(5, 4, bias=bias),
    )


NETS = {"mlp": (mlp, (12,)), "cnn": (cnn, (2, 8, 8)), "resnet": (ResNet, (2, 8, 8))}
NARROW = {
    "epsilon": Composite("eps", (Assign(Epsilon(1e-12)),)),
    "zplus": Composite("z+", (Assign(ZPlus()),)),
    "gamma": Composite("gamma", (Assign(Gamma(0.5)),)),
}


def positive_inputs(shape):
    return torch.rand(3, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) + 0.1


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("rule", NARROW)
def test_bias_free_nets_conserve(net, rule):
    build, shape = NETS[net]
    torch.manual_seed(7)
    model = build().double()
    found = relevances(model, (positive_inputs(shape),), lambda y: y[:, 1], NARROW[rule])
    ratio = found.relevances[0].flatten(1).sum(1) / found.outputs
    torch.testing.assert_close(ratio, torch.ones_like(ratio), rtol=0, atol=1e-6)


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize(
    "composite",
    [EpsilonPlus(), EpsilonAlpha2Beta1(), EpsilonGammaBox(0.0, 2.0), AttnLRP(), CPLRP()],
    ids=lambda c: c.name,
)
def test_the_audit_accounts_for_every_share(net, composite):
    build, shape = NETS[net]
    torch.manual_seed(8)
    model = build(True).double()
    found = relevances(model, (positive_inputs(shape),), lambda y: y[:, 2], composite, audit=True)
    books = found.audit
    assert abs(books.explained - books.attributed) > 1e-3  # biases do absorb
    assert abs(books.elsewhere) < 1e-10
    assert abs(sum(row.amount for row in books.rows) - float(found.delta.sum())) < 1e-10
    torch.testing.assert_close(
        found.relevances[0],
        relevances(model, (positive_inputs(shape),), lambda y: y[:, 2], composite).relevances[0],
    )
    assert "absorbed by" in str(books)
    assert any("test_conservation.py" in row.line for row in books.rows)


def test_the_audit_names_the_line_of_a_constant():
    constant = torch.tensor([[3.0, -1.0]], dtype=torch.float64)

    def net(x):
        x = torch.cat([x, constant.expand(len(x), 2)], 1)
        x = torch.where(x > 0, x, torch.tensor(0.25, dtype=torch.float64))
        return x + 2.0

    x = torch.tensor([[1.0, 2.0], [-4.0, 3.0]], dtype=torch.float64)
    found = relevances(net, (x,), lambda y: y.sum(1), Composite("none"), audit=True)
    amounts = {row.operation: row.amount for row in found.audit.rows}
    assert amounts["add"] == pytest.approx(16.0)
    assert amounts["cat"] == pytest.approx(6.5)
    assert amounts["where (elementwise region)"] == 0  # passes 0.25 on to the -1 of the constant
    assert found.audit.elsewhere == pytest.approx(0.0, abs=1e-12)


def test_the_audit_counts_the_calls_of_a_line():
    layer = nn.Linear(2, 2).double()

    def net(x):
        for _ in range(3):
            x = torch.tanh(layer(x))
        return x

    x = torch.tensor([[0.7, -0.4]], dtype=torch.float64)
    found = relevances(net, (x,), lambda y: y.sum(1), Composite("", (Assign(Epsilon(0.1)),)), audit=True)
    assert {row.operation: row.calls for row in found.audit.rows} == {"linear": 3, "tanh": 3}


def test_epsilon_absorbs_what_its_definition_says():
    layer = nn.Linear(1, 1, bias=False).double()
    with torch.no_grad():
        layer.weight.fill_(1.0)
    x = torch.tensor([[0.5]], dtype=torch.float64)
    found = relevances(layer, (x,), lambda y: y[:, 0], Composite("", (Assign(Epsilon(0.5)),)), audit=True)
    assert found.audit.rows[0].amount == pytest.approx(0.25)
    torch.testing.assert_close(found.delta, torch.tensor([0.25], dtype=torch.float64))
