"""Replays of what comes before a layer equal full passes, and models that cannot be replayed are still right."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import pellucid
from pellucid import attr
from pellucid._core import layer_site as sites
from pellucid._core.layer_site import LayerSite
from tests.layers.models import ConvNet, KeywordNet, Mixed, Net, Residual, Siamese, Tokens, TupleNet, draw, seeded

pytestmark = [
    pytest.mark.filterwarnings("ignore::pellucid.errors.SamplingWarning"),
    pytest.mark.filterwarnings("ignore::pellucid.errors.ConvergenceWarning"),
]


@pytest.fixture
def used(monkeypatch):
    """Notes for each call whether its passes were replayed to the end."""
    kept = []
    make = sites.layer_site

    def noted(*args, **kwargs):
        site = make(*args, **kwargs)
        kept.append(site.replays)
        return site

    monkeypatch.setattr("pellucid.attr.attribution.layer_site", noted)
    return kept


def full(monkeypatch):
    """From now on every pass is a full one."""
    monkeypatch.setattr(sites.Prefix, "of", classmethod(lambda *_: None))


def same(found, expected, tolerance=1e-12):
    if isinstance(found, tuple | list):
        return all(same(f, e, tolerance) for f, e in zip(found, expected, strict=True))
    return found.shape == expected.shape and torch.allclose(found, expected, rtol=tolerance, atol=tolerance)


def both(monkeypatch, model, layer, inputs, **how):
    """Layer integrated gradients with replays, and with full passes; steps, chunks, and random lines."""
    options = [
        (attr.LayerIntegratedGradients, {"n_steps": 7}),
        (attr.LayerIntegratedGradients, {"n_steps": 7, "internal_batch_size": 2}),
        (attr.LayerIntegratedGradients, {"n_steps": "auto", "tolerance": 0.05}),
        (attr.LayerGradientShap, {"seed": 1, "stdevs": 0.1}),
    ]
    found = [cls(model, layer).attribute(inputs, **how, **more) for cls, more in options]
    with monkeypatch.context() as patch:
        full(patch)
        expected = [cls(model, layer).attribute(inputs, **how, **more) for cls, more in options]
    return found, expected


MODELS = {
    "dense": (Net, lambda m: m.act1, lambda: draw(4, 5), {}),
    "images": (ConvNet, lambda m: m.conv2, lambda: draw(3, 2, 6, 6), {}),
    "two inputs": (
        Mixed,
        lambda m: m.join,
        lambda: (draw(3, 4), draw(3, 3)),
        {"additional_forward_args": (draw(3), 2), "baselines": (0.1, 0.2)},
    ),
    "tuple": (TupleNet, lambda m: m.split, lambda: draw(3, 5), {}),
    "keywords": (KeywordNet, lambda m: m.adds, lambda: draw(3, 5), {}),
    "tokens": (Tokens, lambda m: m.encoder.layers[1], lambda: draw(3, 4, 3), {}),
    "skip": (Residual, lambda m: m.inner, lambda: draw(3, 5), {}),
    "called twice": (Siamese, lambda m: m.encoder, lambda: (draw(3, 4), draw(3, 4, seed=1)), {"baselines": (0.1, 0.2)}),
}


@pytest.mark.parametrize("name", MODELS)
def test_replays_equal_full_passes(name, monkeypatch, used):
    build, layer, inputs, more = MODELS[name]
    model = seeded(1, build)
    found, expected = both(monkeypatch, model, layer(model), inputs(), target=1, **{"baselines": 0.2, **more})
    assert same(found, expected)
    assert all(r.prefix is not None and r.checked for r in used[:4])
    assert all(r.prefix is None for r in used[4:])


def test_the_part_before_the_layer_does_not_run():
    """Of the convolutions before the layer nothing is computed while steps are taken."""
    net, x = seeded(1, ConvNet), draw(3, 2, 6, 6)
    counted = []

    class Counting(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            if func is F.conv2d or getattr(func, "__name__", "") == "conv2d":
                counted.append(tuple(args[1].shape))
            return func(*args, **(kwargs or {}))

    with Counting(), pellucid.recording() as report:
        attr.LayerIntegratedGradients(net, net.pool).attribute(x, 0.1, target=1, n_steps=30)
    first, second = [counted.count(tuple(m.weight.shape)) for m in (net.conv1, net.conv2)]
    assert first == 2  # the inputs and the baselines
    assert second > 2
    assert report.rows == 3 * (2 + 2 + 30 + 2)  # both ends, one other pass for values in exchange, steps and checks


class Before(nn.Module):
    """Something before the layer that replays must see, or give up on."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.first, self.hold, self.out = nn.Linear(5, 5), nn.Identity(), nn.Linear(5, 3)
        self.drop = nn.Dropout(0.5)
        self.slots = nn.Parameter(torch.randn(3, 5))
        self.scale = nn.Parameter(torch.rand(1) + 1)
        self.cache = None

    def forward(self, x):
        return getattr(self, self.kind.replace(" ", "_"))(x)

    def after(self, z, *more):
        for other in more:
            z = z * other
        return self.out(torch.tanh(z)) ** 2

    def writes_into_inputs(self, x):
        x.mul_(2).add_(1)
        return self.after(self.hold(self.first(x)), x)

    def indexes_assignment(self, x):
        x[:, 0] = 0.5
        return self.after(self.hold(self.first(x)), x)

    def in_place_residual(self, x):
        h = self.first(x)
        h += self.hold(torch.sin(h))
        return self.after(h)

    def in_place_residual_into_inputs(self, x):
        x += self.hold(self.first(x))
        return self.after(x)

    def writes_into_results(self, x):
        h = self.first(x)
        kept = h.clone()
        h.mul_(2)
        z = self.hold(torch.sin(h))
        h.add_(kept)
        return self.after(z, h)

    def control_flow(self, x):
        h = self.first(x)
        if float(x.sum()) > 0:
            h = torch.sin(h)
        side = torch.cos(h) if bool((h > 0).any()) else h
        return self.after(self.hold(h), side)

    def control_flow_after(self, x):
        h = self.first(x)
        z = self.hold(h)
        return self.after(torch.sin(z) if float(h.detach().sum()) > 0 else z, h)

    def custom_function(self, x):
        h = Doubling.apply(self.first(x))
        return self.after(self.hold(torch.sin(h)), h)

    def arange_of_rows(self, x):
        rows = torch.arange(len(x))
        h = self.first(x)
        z = self.hold(torch.sin(h))
        return self.after(z[rows], h[rows])

    def caches_on_the_module(self, x):
        if self.cache is None or len(self.cache) != len(x):
            self.cache = torch.cos(x).detach()
        return self.after(self.hold(self.first(x)), self.cache)

    def slots_attended_to(self, x):
        """As many slots as examples; copies of all slots change nothing, a part of them does."""
        keys = F.normalize(self.slots, dim=1)
        z = self.hold(torch.sin(self.first(x)))
        return self.after(z, torch.softmax(4 * z @ keys.T, 1) @ keys)

    def nearest_slot(self, x):
        keys = F.normalize(self.slots, dim=1)
        z = self.hold(torch.sin(self.first(x)))
        return self.after(z * torch.cdist(z, keys).amin(1, keepdim=True))

    def scaled(self, x):
        scale = self.scale.exp()
        return self.after(self.hold(torch.sin(self.first(x))) * scale, scale)

    def detour_through_numpy(self, x):
        side = torch.from_numpy(x.detach().numpy().copy()).cos()
        return self.after(self.hold(self.first(x)), side)

    def python_numbers(self, x):
        factor = x.detach().abs().max().item()
        return self.after(self.hold(torch.sin(self.first(x))) * factor)

    def lists_of_rows(self, x):
        rows = [torch.sin(row) for row in x]
        return self.after(self.hold(self.first(torch.stack(rows))), torch.stack(rows))

    def views(self, x):
        h = self.first(x)
        left, right = h.split([2, 3], 1)
        z = self.hold(torch.cat([right.sin(), left], 1))
        return self.after(z, torch.cat([left, right], 1))

    def integers_and_masks(self, x):
        mask, order = x > 0, x.argsort(1)
        z = self.hold(torch.sin(self.first(x)))
        return self.after(z.masked_fill(~mask, 0.3).gather(1, order))

    def sizes(self, x):
        h = torch.sin(self.first(x))
        rows = len(h)
        z = self.hold(h * 2)
        return self.after(z.reshape(rows, -1).sum(1, keepdim=True) + z)

    def batch_statistics(self, x):
        h = self.first(x)
        return self.after(self.hold(torch.sin(h)) - h.mean(0))


class Doubling(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, gradient):
        return 2 * gradient


KINDS = [
    name.replace("_", " ") for name in vars(Before) if not name.startswith("_") and name not in {"forward", "after"}
]
REPLAYED = {
    "slots attended to",
    "nearest slot",
    "scaled",
    "sizes",
    "control flow",
    "control flow after",
    "views",
    "integers and masks",
    "writes into results",
    "custom function",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore::pellucid.errors.ExpansionWarning")
def test_whatever_comes_before(kind, monkeypatch, used):
    model, x = seeded(4, lambda: Before(kind)), draw(3, 5, seed=6)
    state = {k: v.clone() for k, v in model.state_dict().items()}
    kept = x.clone()
    found, expected = both(monkeypatch, model, model.hold, x, target=1, baselines=0.3)
    assert same(found, expected, 1e-10)
    assert torch.equal(x, kept)
    assert all(torch.equal(state[k], v) for k, v in model.state_dict().items())
    del used


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore::pellucid.errors.ExpansionWarning")
def test_whatever_comes_before_against_the_definition(kind):
    """The rest of the model, one example at a time where examples do not mix: z varies, all else is held."""
    if kind in {"batch statistics", "control flow", "control flow after", "python numbers"}:
        pytest.skip("these look at the whole batch; compared with full passes above")
    model, x = seeded(4, lambda: Before(kind)), draw(3, 5, seed=6)
    found = attr.LayerIntegratedGradients(model, model.hold).attribute(x, 0.3, target=1, n_steps=7)
    nodes, weights = gauss(7)
    for i in range(3):
        held = x[i : i + 1]
        model.cache = None
        z = at_hold(model, held)
        model.cache = None
        start = at_hold(model, torch.full_like(held, 0.3))
        total = torch.zeros_like(z)
        for a, w in zip(nodes, weights, strict=True):
            model.cache = None
            point = (start + a * (z - start)).requires_grad_()
            handle = model.hold.register_forward_hook(lambda *_, p=point: p.clone())
            (g,) = torch.autograd.grad(model(held.clone())[0, 1], point)
            handle.remove()
            total += w * g
        model.cache = None
        assert torch.allclose(found[i], (total * (z - start))[0], atol=1e-10), i


def gauss(n):
    import numpy as np

    nodes, weights = np.polynomial.legendre.leggauss(n)
    return ((nodes + 1) / 2).tolist(), (weights / 2).tolist()


def at_hold(model, x):
    seen = []
    handle = model.hold.register_forward_hook(lambda _, __, out: seen.append(out.detach().clone()))
    with torch.no_grad():
        model(x.clone())
    handle.remove()
    return seen[0]


@pytest.mark.parametrize("kind", sorted(REPLAYED))
def test_what_can_be_replayed_is(kind, used):
    model, x = seeded(4, lambda: Before(kind)), draw(3, 5, seed=6)
    attr.LayerIntegratedGradients(model, model.hold).attribute(x, 0.3, target=1, n_steps=7)
    assert used[0].prefix is not None
    assert used[0].checked


@pytest.mark.parametrize("kind", ["slots attended to", "nearest slot"])
@pytest.mark.filterwarnings("ignore::pellucid.errors.ExpansionWarning")
def test_rows_that_coincide_with_examples_in_parts_of_the_batch(kind, monkeypatch):
    """A memory with one slot per example by accident: the whole of it for every part of the examples."""
    model = seeded(4, lambda: Before(kind))
    for seed in range(6):
        x = draw(3, 5, seed=seed)
        for options in ({"internal_batch_size": 1}, {"internal_batch_size": 2}, {"n_steps": "auto", "tolerance": 1e-6}):
            how = {"baselines": 0.3, "target": 1, "n_steps": 5, **options}
            found = attr.LayerIntegratedGradients(model, model.hold).attribute(x, **how)
            with monkeypatch.context() as patch:
                full(patch)
                expected = attr.LayerIntegratedGradients(model, model.hold).attribute(x, **how)
            assert same(found, expected, 1e-9), (seed, options)


@pytest.mark.filterwarnings("ignore::pellucid.errors.ExpansionWarning")
def test_dropout_in_training_mode_is_warned_about_and_never_replayed(used):
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.drop, self.hold, self.out = nn.Dropout(0.5), nn.Identity(), nn.Linear(5, 3)

        def forward(self, x):
            h = self.drop(x)
            return self.out(self.hold(h) * h)

    model, x = seeded(1, Noisy).train(), draw(3, 5)
    with pytest.warns(pellucid.errors.TrainingModeWarning, match="Dropout"):
        found = attr.LayerIntegratedGradients(model, model.hold).attribute(x, 0.3, target=1, n_steps=3)
    assert found.isfinite().all()
    assert used[0].prefix is None


def test_an_error_of_the_models_own_is_the_models_error():
    class Fails(nn.Module):
        def __init__(self):
            super().__init__()
            self.hold, self.calls = nn.Identity(), 0

        def forward(self, x):
            z = self.hold(x * 2)
            self.calls += 1
            if self.calls > 3:
                raise KeyError("the model failed")
            return z

    model = Fails()
    with pytest.raises(KeyError, match="the model failed"):
        attr.LayerIntegratedGradients(model, model.hold).attribute(draw(3, 4), target=1)


def test_the_check_is_what_protects(monkeypatch):
    """Without the comparison with the full pass, a model whose examples mix before the layer is wrong."""
    model, x = seeded(4, lambda: Before("arange of rows")), draw(3, 5, seed=6)
    explain = attr.LayerIntegratedGradients(model, model.hold).attribute
    expected = explain(x, 0.3, target=1, n_steps=5)

    def unchecked(self, prefix, values, examples):
        self.replays.checked.add(tuple(examples.tolist()))
        return self._from_here(prefix, values, examples, 1)

    monkeypatch.setattr(LayerSite, "_check_replay", unchecked)
    with pytest.warns(pellucid.errors.ExpansionWarning):  # the second line of defence
        assert same(explain(x, 0.3, target=1, n_steps=5), expected, 1e-10)
    monkeypatch.setattr("pellucid._core.expansion.agree", lambda *_: True)
    assert not same(explain(x, 0.3, target=1, n_steps=5), expected, 1e-3)
