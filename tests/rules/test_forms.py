"""Another form of a function gets the same multipliers: module, functional, in place, fused, by hand."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from .asking import lifted

WEIGHT = torch.linspace(-1, 1.5, 30, dtype=torch.float64).reshape(6, 5).cos()


def tanh_gelu(h):
    return 0.5 * h * (1 + torch.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**3)))


def hand_layer_norm(h):
    mean = h.mean(-1, keepdim=True)
    variance = (h - mean).pow(2).mean(-1, keepdim=True)
    return (h - mean) / torch.sqrt(variance + 1e-5)


def hand_rms_norm(h):
    return h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + 1e-6)


def item_assignment(h):
    h = h.clone()
    h[h < 0] = 0
    return h


def dropped(h):
    torch.manual_seed(3)
    return F.dropout(h, 0.5, training=True).square()


def dropped_in_place(h):
    torch.manual_seed(3)
    h = h.clone()
    F.dropout(h, 0.5, training=True, inplace=True)
    return h.square()


def activation_dropped_in_place(h):
    torch.manual_seed(3)
    h = h.sigmoid()
    return F.dropout(h, 0.5, training=True, inplace=True).square()


def activation_dropped(h):
    torch.manual_seed(3)
    return F.dropout(h.sigmoid(), 0.5, training=True).square()


def items_scaled(h):
    return h.masked_fill_(h < 0, 0.0)


FORMS = {
    "relu": [
        nn.ReLU(),
        F.relu,
        torch.relu,
        torch.relu_,
        lambda h: F.relu(h, inplace=True),
        nn.ReLU(inplace=True),
        lambda h: h.clamp(min=0),
        lambda h: torch.maximum(h, torch.zeros(())),
        lambda h: h * (h > 0),
        lambda h: h * (h > 0).to(h.dtype),
        lambda h: torch.where(h > 0, h, 0.0),
        lambda h: h.masked_fill(h < 0, 0.0),
        lambda h: (h + h.abs()) / 2,
        item_assignment,
        items_scaled,
        torch.ops.aten.relu.default,
        lambda h: torch.exp(torch.log(h.clamp_min(1e-300))) * (h > 0),
    ],
    "dropout": [dropped, dropped_in_place],
    "dropout of an activation": [activation_dropped, activation_dropped_in_place],
    "silu": [
        nn.SiLU(),
        lambda h: h * torch.sigmoid(h),
        lambda h: h / (1 + torch.exp(-h)),
        lambda h: h.mul_(h.sigmoid()),
    ],
    "gelu_tanh": [lambda h: F.gelu(h, approximate="tanh"), tanh_gelu],
    "gelu": [nn.GELU(), lambda h: h * 0.5 * (1 + torch.erf(h / math.sqrt(2)))],
    "leaky": [
        nn.LeakyReLU(0.1),
        lambda h: torch.where(h > 0, h, 0.1 * h),
        lambda h: torch.maximum(h, 0.1 * h),
    ],
    "hardswish": [nn.Hardswish(), lambda h: h * F.relu6(h + 3) / 6],
    "square": [torch.square, lambda h: h * h, lambda h: h**2, lambda h: h.pow(2), lambda h: h.mul(h)],
    "softmax": [
        lambda h: h.softmax(-1),
        lambda h: F.softmax(h, dim=-1),
        lambda h: F.log_softmax(h, -1).exp(),
    ],
    "layer_norm": [
        nn.LayerNorm(6, elementwise_affine=False),
        lambda h: F.layer_norm(h, (6,)),
        hand_layer_norm,
    ],
    "rms_norm": [lambda h: F.rms_norm(h, (6,), eps=1e-6), hand_rms_norm],
    "group_norm": [lambda h: F.group_norm(h, 1), lambda h: F.layer_norm(h, (6,))],
    "variance": [
        lambda h: h.var(1, keepdim=True, unbiased=False),
        lambda h: (h - h.mean(1, keepdim=True)).square().mean(1, keepdim=True),
        lambda h: torch.std(h, 1, correction=0, keepdim=True) ** 2,
    ],
    "division": [
        lambda h: h / (2 + h.cos()),
        lambda h: torch.div(h, 2 + h.cos()),
        lambda h: (1 / (2 + h.cos())) * h,
        lambda h: h.clone().div_(2 + h.cos()),
    ],
}


@pytest.mark.parametrize(("name", "number"), [(n, k) for n, forms in FORMS.items() for k in range(1, len(forms))])
def test_forms_agree(name, number):
    x = torch.randn(4, 5)
    results = [
        lifted(
            lambda z, f=form: torch.tanh(f(z @ WEIGHT.T) @ torch.ones(1, 3)) if name == "variance" else f(z @ WEIGHT.T),
            x,
        )[1]
        for form in (FORMS[name][0], FORMS[name][number])
    ]
    torch.testing.assert_close(results[0].outputs, results[1].outputs)
    torch.testing.assert_close(results[0].multipliers[0], results[1].multipliers[0], rtol=1e-9, atol=1e-11)


def attention_by_hand(q, k, v):
    return (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1) @ v


def test_attention_fused_and_by_hand():
    x = torch.randn(2, 5, 8)
    both = [
        lifted(lambda z, f=form: f(z, z.sin(), z.exp()), x)[1].multipliers[0]
        for form in (F.scaled_dot_product_attention, attention_by_hand)
    ]
    torch.testing.assert_close(*both, rtol=1e-11, atol=1e-13)


def test_reused_module_is_one_function():
    relu, linear = nn.ReLU(), nn.Linear(5, 5)
    x = torch.randn(3, 5)
    reused = lifted(lambda z: relu(linear(relu(linear(relu(z))))), x)[1]
    apart = lifted(nn.Sequential(nn.ReLU(), linear, nn.ReLU(), linear, nn.ReLU()), x)[1]
    torch.testing.assert_close(reused.multipliers, apart.multipliers, rtol=0, atol=0)


def test_out_argument():
    x = torch.randn(3, 5)
    plain = lifted(torch.exp, x)[1]
    into = lifted(lambda z: torch.exp(z, out=torch.empty(3, 5)), x)[1]
    torch.testing.assert_close(plain.multipliers, into.multipliers)
