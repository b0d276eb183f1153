"""Attributions at a layer, and what bypasses it, make up the difference of outputs."""

import functools
import os

import pytest
import torch
from torch import nn

import pellucid
from pellucid import attr
from pellucid._core.model import modules_of
from pellucid.errors import InvalidValueError
from tests.layers.models import ConvNet, Residual, Tokens, draw, seeded

METHODS = {
    "integrated gradients": (attr.LayerIntegratedGradients, {"n_steps": 60}, 1e-6),
    "integrated gradients, auto": (attr.LayerIntegratedGradients, {"n_steps": "auto", "tolerance": 1e-4}, 1e-4),
    "conductance": (attr.LayerConductance, {"n_steps": 60}, 1e-6),
    "deep lift": (attr.LayerDeepLift, {}, 1e-9),
}
every_method = pytest.mark.parametrize("method", METHODS)


class Blocks(nn.Module):
    """A residual convolutional network; ``join`` modules are the blocks' outputs."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.inner = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(2))
        self.joins = nn.ModuleList(nn.Softplus() for _ in range(2))
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = torch.tanh(self.norm(self.stem(x)))
        for inner, join in zip(self.inner, self.joins, strict=True):
            x = join(x + torch.tanh(inner(x)))
        return self.head(x.mean((2, 3)))


def added(values):
    parts = values if isinstance(values, tuple) else tuple(values.values()) if isinstance(values, dict) else (values,)
    return sum(p.flatten(1).sum(1) for p in parts)


def check(model, layer, x, base, method, target, *, cuts, tolerance=None, at_input=False):
    cls, options, expected = METHODS[method]
    with pellucid.recording() as report:
        found, delta = cls(model, layer).attribute(
            x, base, target=target, return_convergence_delta=True, attribute_to_layer_input=at_input, **options
        )
    with torch.no_grad():
        outputs = [tensor_of(model(v)) for v in (x, base.expand_as(x))]
    difference = (outputs[0] - outputs[1])[:, target]
    tolerance = tolerance or expected
    scale = tolerance * (1 + difference.abs())
    assert (added(found) + report.bypass - difference).abs().le(scale).all()
    assert (added(found) - difference).abs().le(scale).all() or not cuts
    assert torch.allclose(delta, report.delta)
    assert delta.abs().le(scale).all()
    if cuts:
        assert report.bypass.abs().max() <= 1e-9 * (1 + difference.abs().max())
    else:
        assert report.bypass.abs().max() > 1e-4


def tensor_of(output):
    return output if isinstance(output, torch.Tensor) else output[0]


@every_method
def test_residual_blocks(method):
    net = seeded(1, Blocks)
    x, base = draw(2, 2, 5, 5, seed=1), draw(1, 2, 5, 5, seed=2)
    for layer in (net.stem, net.norm, net.joins[0], net.joins[1]):
        check(net, layer, x, base, method, 1, cuts=True)
    check(net, net.inner[1], x, base, method, 1, cuts=False)
    check(net, net.joins[0], x, base, method, 1, cuts=True, at_input=True)


@every_method
def test_a_connection_around_the_layer(method):
    net = seeded(2, Residual)
    x, base = draw(3, 5, seed=1), draw(3, 5, seed=2)
    check(net, net.join, x, base, method, 0, cuts=True)
    check(net, net.stem, x, base, method, 0, cuts=True)
    check(net, net.inner, x, base, method, 0, cuts=False)


@every_method
def test_transformer_blocks(method):
    net = seeded(3, Tokens)
    x, base = draw(2, 3, 3, seed=1), 0.5 * draw(1, 3, 3, seed=2)
    for layer in (net.embed, net.encoder.layers[0], net.encoder.layers[1], net.norm):
        check(net, layer, x, base, method, 2, cuts=True, tolerance=2e-5)
    check(net, net.encoder.layers[1].linear2, x, base, method, 2, cuts=False, tolerance=2e-5)


def test_rectifiers_under_deep_lift_are_complete_exactly():
    net = seeded(4, ConvNet)
    x, base = draw(2, 2, 6, 6, seed=1), draw(1, 2, 6, 6, seed=2)
    for layer in (net.conv1, net.act1, net.pool, net.conv2, net.flat):
        check(net, layer, x, base, "deep lift", 1, cuts=True)


# -- Hugging Face


@functools.cache
def hugging_face(kind):
    """A small random model that is called with token ids, its embedding and the output of its first block."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    transformers = pytest.importorskip("transformers")
    size = {"vocab_size": 30, "num_labels": 3, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    with torch.random.fork_rng():
        torch.manual_seed(5)
        if kind == "bert":
            config = transformers.BertConfig(
                **size, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=20
            )
            model = transformers.BertForSequenceClassification(config)
            places = model.bert.embeddings, model.bert.encoder.layer[0], model.bert.embeddings.word_embeddings
        elif kind == "gpt2":
            config = transformers.GPT2Config(**size, n_embd=16, n_layer=2, n_head=2, n_positions=12)
            model = transformers.GPT2ForSequenceClassification(config)
            places = model.transformer.drop, model.transformer.h[0], model.transformer.wte
        else:
            config = transformers.LlamaConfig(
                **size,
                hidden_size=16,
                num_hidden_layers=2,
                num_attention_heads=2,
                num_key_value_heads=1,
                intermediate_size=20,
                max_position_embeddings=12,
            )
            model = transformers.LlamaForSequenceClassification(config)
            places = model.model.embed_tokens, model.model.layers[0], model.model.embed_tokens
    model = model.double().eval()

    def run(ids):
        return model(input_ids=ids.long(), use_cache=False).logits if kind != "bert" else model(input_ids=ids.long())

    return run, places


@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama"])
@pytest.mark.parametrize("method", [m for m in METHODS if m != "conductance"])
def test_hugging_face_models(kind, method):
    """Embeddings and block outputs cut every path."""
    run, (embedding, block, _) = hugging_face(kind)
    ids = torch.tensor([[5.0, 9.0, 11.0, 4.0], [7.0, 3.0, 20.0, 6.0]])
    base = torch.tensor([[8.0, 8.0, 8.0, 4.0]])
    tolerance = 2e-5 if METHODS[method][1] else 1e-6  # rotary angles are float32
    for layer in (embedding, block):
        check(run, layer, ids, base, method, 1, cuts=True, tolerance=tolerance)


@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama"])
def test_conductance_of_hugging_face_models(kind):
    """From embeddings on, since conductance moves the inputs."""
    called, (_, block, words) = hugging_face(kind)
    model = modules_of(called)[0]
    ids, base = torch.tensor([[5, 9, 11, 4], [7, 3, 20, 6]]), torch.tensor([[8, 8, 8, 4]])
    with torch.no_grad():
        x, start = words(ids), words(base)

    def run(embeds):
        return model(inputs_embeds=embeds, **({} if kind == "bert" else {"use_cache": False}))[0]

    check(run, block, x, start, "conductance", 1, cuts=True, tolerance=2e-5)
    check(run, attention_of(block), x, start, "conductance", 1, cuts=False, tolerance=2e-5)


def attention_of(block):
    if hasattr(block, "attention"):
        return block.attention.self
    return getattr(block, "attn", None) or block.self_attn


def test_the_delta_of_given_attributions():
    torch.manual_seed(0)
    embed, head = nn.Embedding(7, 3).double(), nn.Linear(3, 2).double()

    def model(ids):
        return torch.tanh(head(embed(ids).sum(1)))

    ids, start = torch.tensor([[1, 2, 3], [4, 5, 6]]), torch.zeros(1, 3, dtype=torch.long)
    method = attr.LayerIntegratedGradients(model, embed)
    found, delta = method.attribute(ids, start, target=1, return_convergence_delta=True)
    again = method.compute_convergence_delta(found, start, ids, target=1)
    assert torch.allclose(again, delta, atol=1e-14)
    assert torch.allclose(method.compute_convergence_delta(found + 1, start, ids, target=1), delta + 9, atol=1e-12)
    with pytest.raises(InvalidValueError, match="attributions is of 1 rows"):
        method.compute_convergence_delta(found[:1], start, ids, target=1)
