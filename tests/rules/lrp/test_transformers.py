"""Relevance in transformers: CP-LRP conserves without biases, AttnLRP does not by design; kernels agree."""

import pytest
import torch
from torch import nn

from pellucid._core.rules.lrp import relevances
from pellucid._core.rules.lrp_composites import CPLRP, AttnLRP

transformers = pytest.importorskip("transformers")


def llama(attention):
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=50,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        attn_implementation=attention,
    )
    return transformers.LlamaForCausalLM(config).double().eval()


def embedded(model):
    return model.get_input_embeddings()(torch.tensor([[3, 14, 15, 9, 26], [5, 35, 8, 9, 7]])).detach()


def attributed(attention, composite, **more):
    model = llama(attention)
    return relevances(
        lambda e: model(inputs_embeds=e, use_cache=False).logits,
        (embedded(model),),
        lambda y: y[:, -1, 7],
        composite,
        **more,
    )


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_cp_lrp_conserves(attention):
    found = attributed(attention, CPLRP(1e-12))
    ratio = found.relevances[0].flatten(1).sum(1) / found.outputs
    torch.testing.assert_close(ratio, torch.ones_like(ratio), rtol=0, atol=1e-5)


@pytest.mark.parametrize("composite", [AttnLRP(), CPLRP()], ids=lambda c: c.name)
def test_eager_and_fused_attention_agree(composite):
    eager, fused = (attributed(kind, composite).relevances[0] for kind in ("eager", "sdpa"))
    torch.testing.assert_close(eager, fused, rtol=1e-6, atol=1e-7)  # norms are computed in single precision


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_attn_lrp_absorbs_in_softmax_and_the_audit_says_how_much(attention):
    found = attributed(attention, AttnLRP(1e-12), audit=True)
    assert float((found.delta.abs() / found.outputs.abs()).max()) > 1e-2
    absorbed = {}
    for row in found.audit.rows:
        absorbed[row.operation] = absorbed.get(row.operation, 0.0) + row.amount
    assert abs(found.audit.elsewhere) < 1e-7
    assert absorbed["softmax"] == pytest.approx(float(found.delta.sum()), rel=1e-4)


@pytest.mark.parametrize("composite", [AttnLRP(), CPLRP()], ids=lambda c: c.name)
def test_the_audit_of_an_encoder_with_biases_and_layer_norms_is_exact(composite):
    torch.manual_seed(3)
    model = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, activation="gelu").double().eval()
    x = torch.randn(2, 4, 8, dtype=torch.float64)
    found = relevances(model, (x,), lambda y: y[:, 1, 3], composite, audit=True)
    assert abs(found.audit.elsewhere) < 1e-10
    assert float(found.delta.abs().max()) > 1e-3
    plain = relevances(model, (x,), lambda y: y[:, 1, 3], composite)
    torch.testing.assert_close(found.relevances[0], plain.relevances[0], rtol=1e-9, atol=1e-11)


class ByHand(nn.Module):
    """One head of attention with softmax written in exponentials, in the form that is asked for."""

    def __init__(self, written):
        super().__init__()
        torch.manual_seed(1)
        self.query, self.key, self.value = (nn.Linear(4, 4, bias=False).double() for _ in range(3))
        self.written = written

    def forward(self, x):
        scores = self.query(x) @ self.key(x).transpose(1, 2) / 2
        if self.written:
            weights = torch.exp(scores - scores.amax(-1, keepdim=True))
            weights = weights / weights.sum(-1, keepdim=True)
        else:
            weights = scores.softmax(-1)
        return (weights @ self.value(x)).flatten(1)


def test_cp_lrp_sees_a_softmax_written_by_hand():
    x = torch.randn(2, 3, 4, dtype=torch.float64)
    one, other = (
        relevances(ByHand(written), (x,), lambda y: y[:, 5], CPLRP()).relevances[0] for written in (False, True)
    )
    torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_attn_lrp_is_its_definition_on_one_head():
    x = torch.randn(1, 3, 4, dtype=torch.float64)
    model = ByHand(False)
    found = relevances(model, (x,), lambda y: y[:, 5], AttnLRP(1e-12)).relevances[0]
    query, key, value = model.query(x[0]), model.key(x[0]), model.value(x[0])
    weights = (query @ key.t() / 2).softmax(-1)
    # output 5 is token 1, channel 1; half of each product to either factor, softmax by gradient times input
    relevance_of_pairs = weights[1] * value[:, 1]
    of_value = torch.zeros_like(value)
    of_value[:, 1] = relevance_of_pairs / 2
    scores = query[1] @ key.t() / 2
    of_weights = relevance_of_pairs / 2
    of_scores = scores * (of_weights - weights[1] * of_weights.sum())
    shares = query[1] * key / 2 / scores[:, None] * of_scores[:, None] / 2
    of_query, of_key = torch.zeros_like(query), shares
    of_query[1] = shares.sum(0)
    expected = torch.zeros_like(x[0])
    for layer, values, relevance in (
        (model.query, query, of_query),
        (model.key, key, of_key),
        (model.value, value, of_value),
    ):
        expected += x[0] * ((relevance / values) @ layer.weight)
    torch.testing.assert_close(found[0], expected.detach(), rtol=1e-8, atol=1e-10)
