"""Randomised parameters and other classes: the user's model is never touched, not even while others look."""

import contextlib
import threading

import pytest
import torch
from torch import nn

import pellucid
from pellucid.attr import LRP, DeepLift, InputXGradient, IntegratedGradients, Saliency
from pellucid.errors import InvalidTypeError, InvalidValueError, UnsupportedModelError
from pellucid.metrics import completeness, parameter_randomisation, random_logit
from pellucid.metrics._similarity import SIMILARITIES, mean_ranks
from pellucid.testing import Watched as Net
from pellucid.testing import changed, fingerprint
from tests.metrics.models import WEIGHTS, curved, linear, rows
from tests.models import DOUBLE, cnn, mlp


def saliency(model, x, **keywords):
    return Saliency(model).attribute(x, abs=False, **keywords)


@pytest.mark.parametrize("order", ["cascading", "independent"])
def test_explanations_that_ignore_the_model_score_one_and_gradients_do_not(order):
    model, x = mlp(), rows(30)
    ignorant = parameter_randomisation(model, lambda m, v: v * 2, x, order=order)
    assert torch.allclose(ignorant.similarities, torch.ones(30, 3, dtype=DOUBLE))
    assert ignorant.layers == ("4", "2", "0")
    found = parameter_randomisation(model, saliency, x, target=0, order=order, seed=0)
    assert abs(float(found.similarities[:, -1].mean())) < 0.6
    assert torch.allclose(found.score, found.similarities.mean(1))


@pytest.mark.parametrize("order", ["cascading", "independent"])
def test_each_layer_is_drawn_in_its_turn(order):
    """What the explanation function sees: cascading keeps what was drawn before, independent puts it back."""
    model, x = mlp(), rows(2)
    own = {name: p.detach().clone() for name, p in model.named_parameters()}
    seen = []

    def watch(m, v):
        seen.append({name: p.detach().clone() for name, p in m.named_parameters()})
        return v

    layers = parameter_randomisation(model, watch, x, order=order, seed=7).layers
    assert len(seen) == 4
    for turn, found in enumerate(seen):
        drawn = set(layers[:turn] if order == "cascading" else layers[turn - 1 : turn] if turn else ())
        for name, value in found.items():
            assert torch.equal(value, own[name]) == (name.partition(".")[0] not in drawn)
        if order == "cascading" and turn > 1:
            kept = f"{layers[0]}.weight"
            assert torch.equal(found[kept], seen[turn - 1][kept])
    assert all(torch.equal(own[name], p) for name, p in model.named_parameters())


def test_draws_have_the_mean_and_spread_of_the_parameter():
    model = nn.Sequential(nn.Linear(400, 300), nn.LayerNorm(300))
    with torch.no_grad():
        model[0].weight.normal_(0.3, 0.05)
    seen = []

    def watch(m, v):
        seen.append({k: p.detach().clone() for k, p in m.named_parameters()})
        return v

    parameter_randomisation(model, watch, torch.rand(1, 400), seed=0)
    drawn = seen[-1]["0.weight"]
    assert not torch.equal(drawn, model[0].weight)
    assert float(drawn.mean()) == pytest.approx(0.3, abs=1e-3)
    assert float(drawn.std()) == pytest.approx(0.05, rel=0.02)
    assert torch.equal(seen[-1]["1.weight"], torch.ones(300))  # nothing was learnt there


@pytest.mark.parametrize("method", [Saliency, InputXGradient, IntegratedGradients, DeepLift, LRP])
def test_every_kind_of_method_sees_the_random_parameters(method):
    model, x = cnn(), torch.randn(2, 2, 6, 6, dtype=DOUBLE)
    found = parameter_randomisation(model, lambda m, v, **k: method(m).attribute(v, **k), x, target=1, seed=0)
    assert (found.similarities < 0.999).all()


def test_layers_of_the_random_model_are_found_under_their_names():
    model, x = mlp(), rows(1)

    def hidden(m, v):
        kept = []
        handle = m[1].register_forward_hook(lambda _, __, out: kept.append(out))
        m(v)
        handle.remove()
        return kept[0]

    found = parameter_randomisation(model, hidden, x, layers=("0",), seed=0)
    assert float(found.score) < 0.99
    assert not model[1]._forward_hooks


@pytest.mark.parametrize("fail_at", [None, 1, 2, 3])
@pytest.mark.parametrize("training", [False, True])
def test_nothing_is_left_on_the_model(fail_at, training):
    model = Net().train(training)
    x, scale = rows(3, 4), torch.ones(3, 1, dtype=DOUBLE)
    asked = []

    def careless(m, v):
        asked.append(m)
        if len(asked) == fail_at:
            raise KeyError("no")
        if m is not model:
            m(v, scale).sum().backward()
        return v

    generator = torch.Generator().manual_seed(0)
    before = fingerprint(model, [x, scale])
    with torch.random.fork_rng(), contextlib.nullcontext() if fail_at is None else pytest.raises(KeyError):
        parameter_randomisation(model, careless, x, generator=generator)
    assert changed(before, fingerprint(model, [x, scale])) == []
    assert len(asked) == (fail_at or 4)


def test_another_thread_never_sees_random_parameters():
    model, x = mlp(hidden=64), rows(64)
    expected, wrong, stop = model(x), [], threading.Event()

    def look():
        while not stop.is_set():
            if not torch.equal(model(x), expected):
                wrong.append(1)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        parameter_randomisation(model, lambda m, v: [m(v) for _ in range(60)] and v, x)
    finally:
        stop.set()
        thread.join()
    assert not wrong


def test_tied_parameters_stay_tied():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(4, 4, bias=False)
            self.second = nn.Linear(4, 4, bias=False)
            self.second.weight = self.first.weight

        def forward(self, x):
            return self.second(x) - self.first(x)

    found = []
    parameter_randomisation(Tied(), lambda m, v: found.append(m(v)) or v, rows(2, 4).float())
    assert all(torch.equal(out, torch.zeros(2, 4)) for out in found)


def test_refusals_of_randomisation():
    model, x = mlp(), rows(2)
    for change, error, words in (
        ({"model": linear}, InvalidTypeError, "module"),
        ({"model": nn.Tanh()}, InvalidValueError, "without parameters"),
        ({"layers": ("9",)}, InvalidValueError, "'9'"),
        ({"layers": "0"}, InvalidTypeError, "layers"),
        ({"order": "random"}, InvalidValueError, "cascading"),
        ({"similarity": "ssim"}, InvalidValueError, "spearman"),
        ({"explanation_func": 3}, InvalidTypeError, "explanation_func"),
        ({"explanation_func": lambda m, v: v[:1]}, InvalidValueError, "1 rows for 2"),
    ):
        with pytest.raises(error, match=words):
            parameter_randomisation(**{"model": model, "explanation_func": saliency, "inputs": x, **change})
    model.lock = threading.Lock()
    with pytest.raises(UnsupportedModelError, match="cannot be copied"):
        parameter_randomisation(model, saliency, x)


def test_random_logit_by_hand():
    model = nn.Linear(5, 2, bias=False).to(DOUBLE)
    with torch.no_grad():
        model.weight.copy_(torch.stack([WEIGHTS, -WEIGHTS]))
    x = rows(3)
    found = random_logit(model, Saliency(model).attribute, x, 0, abs=False, similarity="cosine")
    assert torch.allclose(found, -torch.ones(3, dtype=DOUBLE))  # the other class is the opposite
    found = random_logit(model, Saliency(model).attribute, x, [0, 1, 0], abs=False, absolute=True, similarity="pearson")
    assert torch.allclose(found, torch.ones(3, dtype=DOUBLE))
    seen = []

    def watch(v, target):
        seen.append(target.tolist())
        return v

    model3, x, target, _ = curved()
    random_logit(model3, watch, x, target, seed=1)
    assert seen[0] == target
    assert all(a != b and 0 <= b < 3 for a, b in zip(*seen, strict=True))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"target": None}, InvalidTypeError, "target"),
        ({"target": 5}, InvalidValueError, "size 3"),
        ({"target": 1.5}, InvalidTypeError, "target"),
        ({"model": lambda v: v.sum(1), "target": 0}, InvalidValueError, "target"),
        ({"similarity": 3}, InvalidValueError, "similarity"),
    ],
)
def test_refusals_of_random_logit(change, error, words):
    model, x, target, _ = curved()
    arguments = {"model": model, "explanation_func": Saliency(model).attribute, "inputs": x, "target": target}
    with pytest.raises(error, match=words):
        random_logit(**{**arguments, **change})


def test_similarities():
    a, b = rows(4, 30), rows(4, 30, seed=1)
    for name in ("pearson", "spearman"):
        first, second = (a, b) if name == "pearson" else (mean_ranks(a), mean_ranks(b))
        expected = torch.stack([torch.corrcoef(torch.stack([p, q]))[0, 1] for p, q in zip(first, second, strict=True)])
        assert torch.allclose(SIMILARITIES[name](a, b), expected)
    assert torch.allclose(SIMILARITIES["spearman"](a, a.exp()), torch.ones(4, dtype=DOUBLE))
    assert mean_ranks(torch.tensor([[3.0, 1.0, 3.0, 2.0]])).tolist() == [[2.5, 0.0, 2.5, 1.0]]
    assert SIMILARITIES["cosine"](a, 0 * a).isnan().all()


def test_completeness_by_hand():
    model, x, target, base = curved()
    explanation = pellucid.explain(model, x, target=target, baselines=base, n_steps=64)
    assert completeness(model, x, explanation.attributions, target, base).max() < 1e-9
    off = explanation.attributions + 0.1
    assert torch.allclose(completeness(model, x, off, target, base), torch.full((4,), 0.5, dtype=DOUBLE))
    with pytest.raises(InvalidValueError, match="target is None"):
        completeness(model, x, x)
