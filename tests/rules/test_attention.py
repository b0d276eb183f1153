"""The closed forms of attention and layer norm mean what the rules of their pieces mean together."""

import math

import pytest
import torch
import torch.nn.functional as F

from pellucid._core.rules.api import Choices, deep_lift_gradients
from pellucid._core.rules.carry import carry
from pellucid._core.rules.expansions import attention, layer_norm
from pellucid._core.rules.softmax import SOFTMAX, logarithmic_mean

SDPA = F.scaled_dot_product_attention
SHAPES = {
    "equal": ((2, 4, 5, 6),) * 3,
    "cross": ((2, 4, 3, 6), (2, 4, 5, 6), (2, 4, 5, 2)),
    "one query": ((2, 1, 1, 6), (2, 1, 5, 6), (2, 1, 5, 2)),
}
GROUPED = ((2, 4, 5, 6), (2, 2, 5, 6), (2, 2, 5, 3))
MASK = torch.tensor([[True, True, False, True, True]])


def explained(forward, shapes, scale=1.0, choices=None):
    generator = torch.Generator().manual_seed(0)
    pairs = [torch.randn(2, *shape, generator=generator, dtype=torch.float64) * scale for shape in shapes]
    inputs, baselines = tuple(pair[0] for pair in pairs), tuple(0.5 * pair[1] for pair in pairs)
    found = deep_lift_gradients(
        forward, inputs, baselines, lambda y: y.square().flatten(1).sum(1), choices=choices or Choices()
    )
    parts = zip(found.multipliers, inputs, baselines, strict=True)
    total = sum((m * (x - start)).flatten(1).sum(1) for m, x, start in parts)
    torch.testing.assert_close(total, found.outputs - found.reference_outputs, rtol=1e-12, atol=1e-12)
    return found


def same(one, other):
    for a, b in zip(one.multipliers, other.multipliers, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12 * b.abs().max().item())


def rules(found):
    return {row.rule for row in found.certificate.operations}


@pytest.mark.parametrize("scale", [1.0, 20.0])
@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize(
    "options",
    [{}, {"is_causal": True}, {"scale": 0.7}, {"attn_mask": MASK}, {"attn_mask": -MASK.double()}],
    ids=["plain", "causal", "scale", "boolean", "additive"],
)
def test_attention_is_its_expansion(options, shapes, scale):
    whole = explained(lambda q, k, v: SDPA(q, k, v, **options), shapes, scale)
    pieces = explained(lambda q, k, v: attention(q, k, v, **options), shapes, scale)
    assert "attention, in closed form" in rules(whole)
    assert "attention, in closed form" not in rules(pieces)
    same(whole, pieces)


def test_grouped_heads_are_shared():
    whole = explained(lambda q, k, v: SDPA(q, k, v, is_causal=True, enable_gqa=True), GROUPED)
    pieces = explained(lambda q, k, v: attention(q, k, v, is_causal=True, enable_gqa=True), GROUPED)
    assert "attention, in closed form" in rules(whole)
    same(whole, pieces)


def test_heads_without_a_batch_are_shared():
    def model(form):
        return lambda q, k, v: form(q[0], k[0], v[0], is_causal=True, enable_gqa=True).unsqueeze(0)

    shapes = tuple((1, *shape[1:]) for shape in GROUPED)
    whole, pieces = explained(model(SDPA), shapes), explained(model(attention), shapes)
    assert "attention, in closed form" in rules(whole)
    same(whole, pieces)


def test_heads_may_be_views_and_be_written_later():
    def model(x):
        heads = x.view(2, 5, 3, 4).transpose(1, 2)
        y = SDPA(heads, 2 * heads, heads)
        heads.mul_(0.0)
        return y + heads

    explained(model, [(2, 5, 12)])


@pytest.mark.parametrize(
    "options",
    [{"attn_mask": torch.zeros(5, 5, dtype=torch.bool)}, {"dropout_p": 0.5}],
    ids=["nothing to see", "dropout"],
)
def test_what_the_closed_form_does_not_cover_is_expanded(options):
    found = explained(lambda q, k, v: SDPA(q, k, v, **options) + q, SHAPES["equal"])
    assert "expanded" in rules(found)


@pytest.mark.parametrize(
    "shapes",
    [((2, 4, 5, 6), (2, 4, 5, 6), (2, 1, 5, 3)), ((2, 4, 5, 6), (2, 1, 5, 6), (2, 1, 5, 3))],
    ids=["values", "keys and values"],
)
def test_heads_that_are_broadcast_are_expanded(shapes):
    def whole(q, k, v):
        return q + SDPA(q, k, v).sum(-1, keepdim=True)

    found = explained(whole, shapes)
    assert "attention, in closed form" not in rules(found)
    same(found, explained(lambda q, k, v: q + attention(q, k, v).sum(-1, keepdim=True), shapes))


def test_halves_are_expanded_since_their_sums_are_taken_in_single_precision():
    generator = torch.Generator().manual_seed(0)
    x, start = torch.randn(2, 2, 4, 5, 6, generator=generator).bfloat16()
    found = deep_lift_gradients(lambda v: SDPA(v, v, v), (x,), (start,), lambda y: y.flatten(1).sum(1))
    assert "attention, in closed form" not in rules(found)


def test_a_mask_may_be_larger_than_the_scores():
    larger = torch.randn(3, 1, 5, 5, dtype=torch.float64)
    shapes = ((1, 4, 5, 6),) * 3
    whole = explained(lambda q, k, v: SDPA(q, k, v, attn_mask=larger).sum(0, keepdim=True), shapes)
    assert "expanded" in rules(whole)


def test_rules_of_the_user_hold_inside_attention():
    found = explained(SDPA, SHAPES["equal"], choices=Choices(rules={"softmax": SOFTMAX}))
    assert "attention, in closed form" not in rules(found)


@pytest.mark.parametrize("affine", [True, False])
def test_layer_norm_is_its_expansion(affine):
    weight, bias = (torch.tensor([1.0, -2.0, 0.0, 0.5], dtype=torch.float64),) * 2 if affine else (None, None)
    whole = explained(lambda x: F.layer_norm(x, (4,), weight, bias), [(3, 5, 4)])
    pieces = explained(lambda x: layer_norm(x, (4,), weight, bias), [(3, 5, 4)])
    assert "normalisation" in rules(whole)
    same(whole, pieces)


def test_logarithmic_mean_loses_no_digits():
    ratio = torch.tensor([0.0, 1e-300, 1e-12, 1e-3, 1.0, -30.0], dtype=torch.float64)
    q = torch.full_like(ratio, 0.25)
    expected = torch.cat([q[:1], (q * torch.expm1(ratio) / ratio)[1:]])
    torch.testing.assert_close(logarithmic_mean(q * ratio.exp(), q, ratio.clone()), expected, rtol=1e-14, atol=0)


def test_logarithmic_mean_counts_a_side_that_underflows():
    p, q = torch.tensor([1.0, 1.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 1.0, 0.0])
    ratio = torch.tensor([200.0, math.inf, -200.0, math.nan])
    torch.testing.assert_close(logarithmic_mean(p, q, ratio), torch.tensor([0.005, 0.0, 0.005, 0.0]))


def test_a_pullback_is_called_once():
    x = torch.ones(2, requires_grad=True)
    (y,) = carry(lambda gradients: gradients, [x.detach()], [x])
    torch.autograd.grad(y.sum(), x, retain_graph=True)
    with pytest.raises(RuntimeError, match="twice"):
        torch.autograd.grad(y.sum(), x)
