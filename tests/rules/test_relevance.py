"""Relevance propagation: each rule equals its definition on dense weights; conservation; the audit."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pellucid._core.rules import NATIVE, Choices, by_module, relevances
from pellucid._core.rules.lrp import (
    attention_lrp,
    audited,
    composite,
    conservative_propagation,
    epsilon_gamma_box,
    epsilon_plus,
)
from pellucid._core.rules.lrp_layers import alpha_beta, box, epsilon, flat, gamma, squared_weights, z_plus


def shares_epsilon(x, w, b):
    z = x[:, None] * w
    total = z.sum(0) + b
    return z / (total + 1e-6 * torch.where(total >= 0, 1.0, -1.0))


def shares_gamma(x, w, b, strength=0.25):
    z = x[:, None] * w
    total = z.sum(0) + b
    result = torch.zeros_like(z)
    for k in range(w.shape[1]):
        sign = 1.0 if total[k] > 0 else -1.0
        favoured = z[:, k] + strength * (sign * z[:, k]).clamp_min(0) * sign
        bias = b[k] + strength * (sign * b[k]).clamp_min(0) * sign
        result[:, k] = favoured / (favoured.sum() + bias)
    return result


def shares_alpha_beta(x, w, b, alpha=2.0, beta=1.0):
    z = x[:, None] * w
    up, down = z.clamp_min(0), z.clamp_max(0)
    positive = (up / (up.sum(0) + b.clamp_min(0))).nan_to_num(0, 0, 0)
    negative = (down / (down.sum(0) + b.clamp_max(0))).nan_to_num(0, 0, 0)
    return alpha * positive - beta * negative


def shares_box(x, w, b):
    z = x[:, None] * w - (-1.0) * w.clamp_min(0) - 2.0 * w.clamp_max(0)
    return z / z.sum(0)


def shares_squared(x, w, b):
    return w**2 / (w**2).sum(0)


def shares_flat(x, w, b):
    return torch.ones_like(w) / w.shape[0]


RULES = {
    "epsilon": (epsilon(1e-6), shares_epsilon),
    "gamma": (gamma(0.25), shares_gamma),
    "alpha_beta": (alpha_beta(2.0, 1.0), shares_alpha_beta),
    "z_plus": (z_plus(), lambda x, w, b: shares_alpha_beta(x, w, b, 1.0, 0.0)),
    "box": (box(-1.0, 2.0), shares_box),
    "w_square": (squared_weights(), shares_squared),
    "flat": (flat(), shares_flat),
}
FIRST_ONLY = {"box", "w_square", "flat"}


def dense(function, size):
    """The weights (inputs, outputs) and the bias of an affine function of one flat example."""
    bias = function(torch.zeros(1, size)).flatten()
    return torch.stack([function(e[None]).flatten() - bias for e in torch.eye(size)]), bias


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("form", ["linear", "conv", "matmul", "transposed"])
@pytest.mark.parametrize("name", RULES)
def test_rule_equals_its_definition(name, form, bias):
    if form == "matmul" and bias:
        pytest.skip("a matrix product has no bias")
    rule, shares = RULES[name]
    layers = {
        "linear": nn.Linear(8, 6, bias=bias),
        "conv": nn.Conv1d(2, 3, 4, bias=bias),
        "transposed": nn.ConvTranspose1d(2, 3, 4, bias=bias),
        "matmul": None,
    }
    weight = torch.randn(8, 6)
    layer = layers[form] or (lambda z: z @ weight)
    shape = (2, 4) if form in {"conv", "transposed"} else (8,)
    x = torch.randn(3, 8)
    x[0, :3] = 0.0
    table = composite("test", rule, first=rule if name in FIRST_ONLY else None)
    after = torch.randn(layer(x.reshape(3, *shape)).flatten(1).shape[1])
    result = relevances(
        lambda z: layer(z).flatten(1) * after, (x.reshape(3, *shape),), lambda y: y.sum(1), table
    )
    w, b = dense(lambda z: layer(z.reshape(-1, *shape)).detach(), 8)
    if form in {"conv", "transposed"} and name == "flat":
        with torch.no_grad():
            w, _ = dense(lambda z: _with_ones(layer)(z.reshape(-1, *shape)), 8)
        w = w.clone()
        expected_shares = [w / w.sum(0)] * 3
    else:
        expected_shares = [shares(row, w, b).nan_to_num(0, 0, 0) for row in x]
    outputs = layer(x.reshape(3, *shape)).flatten(1).detach() * after
    expected = torch.stack([s @ r for s, r in zip(expected_shares, outputs, strict=True)])
    torch.testing.assert_close(result.relevances[0].flatten(1), expected, rtol=1e-6, atol=1e-9)


def _with_ones(layer):
    weight = torch.ones_like(layer.weight)
    function = F.conv1d if isinstance(layer, nn.Conv1d) else F.conv_transpose1d
    return lambda z: function(z, weight)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.head = nn.Linear(4, 3, bias=False)

    def forward(self, x):
        h = F.relu(self.a(x))
        h = h + F.relu(self.b(h))
        return self.head(F.max_pool2d(F.relu(h + self.b(h)), 2).mean((2, 3)))


@pytest.mark.parametrize(
    "table",
    [
        composite("epsilon", epsilon(1e-9)),
        composite("gamma", gamma()),
        epsilon_plus(1e-9),
        epsilon_gamma_box(0.0, 1.0, 1e-9),
    ],
)
def test_residual_nets_without_biases_conserve(table):
    model, x = Residual(), torch.rand(3, 2, 6, 6)
    result = relevances(model, (x,), lambda y: y[:, 1], table)
    torch.testing.assert_close(result.relevances[0].sum((1, 2, 3)), result.outputs, rtol=1e-6, atol=0)


class Gated(nn.Module):
    """A pre-norm attention block without biases, its norms written by hand as language models do."""

    def __init__(self, fused):
        super().__init__()
        self.fused = fused
        self.q, self.k, self.v, self.up, self.gate, self.down = (
            nn.Linear(8, 8, bias=False) for _ in range(6)
        )

    def norm(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)

    def forward(self, x):
        h = self.norm(x)
        q, k, v = (layer(h).unflatten(-1, (2, 4)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        if self.fused:
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            mask = torch.ones(5, 5, dtype=torch.bool).triu(1)
            mixed = (q @ k.mT / 2).masked_fill(mask, -torch.inf).softmax(-1) @ v
        x = x + mixed.transpose(1, 2).flatten(2)
        h = self.norm(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


@pytest.mark.parametrize("fused", [True, False])
def test_conservative_propagation_conserves(fused):
    model, x = Gated(fused), torch.randn(3, 5, 8)
    result = relevances(model, (x,), lambda y: y[:, -1, 2], conservative_propagation())
    torch.testing.assert_close(result.relevances[0].sum((1, 2)), result.outputs, rtol=1e-5, atol=0)


def test_fused_and_written_attention_agree():
    x = torch.randn(3, 5, 8)
    models = [Gated(True), Gated(False)]
    models[1].load_state_dict(models[0].state_dict())
    one, other = (relevances(m, (x,), lambda y: y[:, -1, 2], attention_lrp()).relevances[0] for m in models)
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("table", [epsilon_plus(), attention_lrp(), conservative_propagation()])
def test_audit_accounts_for_every_share(table):
    attention = Gated(True)
    layers = nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.LayerNorm(8))

    def model(z):
        return attention(layers(z)).flatten(1)

    x = torch.randn(3, 5, 8)
    plain = relevances(model, (x,), lambda y: y[:, 1], table)
    result = relevances(model, (x,), lambda y: y[:, 1], audited(table))
    torch.testing.assert_close(result.relevances, plain.relevances, rtol=1e-12, atol=1e-14)
    absorbed = sum(amount for _, amount in result.certificate.absorbed)
    assert abs(float(result.outputs.sum() - result.relevances[0].sum()) - absorbed) < 1e-10


def test_rules_by_layer():
    model, x = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)), torch.randn(3, 8)
    override = by_module(model, {"2": gamma(), nn.Linear: NATIVE})
    result = relevances(model, (x,), lambda y: y[:, 1], epsilon_plus(), choices=Choices(override=override))
    rules = {(row.operation, row.rule) for row in result.certificate.operations}
    assert ("linear", "gamma (0.25)") in rules
    assert ("linear", "linear") in rules


def test_captum_agrees_on_epsilon():
    captum = pytest.importorskip("captum.attr")
    import warnings

    model, x = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)), torch.randn(3, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = captum.LRP(model).attribute(x, target=1)
    ours = relevances(model, (x,), lambda y: y[:, 1], composite("epsilon", epsilon(1e-9))).relevances[0]
    torch.testing.assert_close(ours, theirs.detach(), rtol=1e-5, atol=1e-7)
