"""Layers and models as they come: any structure, any order of dimensions, any wrapping."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from pellucid import attr
from pellucid.errors import UnsupportedModelError
from tests.layers.models import (
    STRUCTURES,
    ConvNet,
    KeywordNet,
    Net,
    Pair,
    Structured,
    Tokens,
    draw,
    seeded,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore::pellucid.errors.SamplingWarning"),
    pytest.mark.filterwarnings("ignore::pellucid.errors.ConvergenceWarning"),
]

METHODS = {
    "LayerGradientXActivation": {},
    "LayerIntegratedGradients": {"n_steps": 8, "baselines": 0.2},
    "LayerConductance": {"n_steps": 8, "baselines": 0.2},
    "InternalInfluence": {"n_steps": 8, "baselines": 0.2},
    "LayerDeepLift": {"baselines": 0.2},
    "LayerDeepLiftShap": {"baselines": 0.2},
    "LayerGradientShap": {"baselines": 0.2, "seed": 3},
    "LayerLRP": {},
}
RULES = {"LayerDeepLift", "LayerDeepLiftShap", "LayerLRP"}
every_method = pytest.mark.parametrize("name", METHODS)
gradient_methods = pytest.mark.parametrize("name", [m for m in METHODS if m not in RULES])


def explained(name, model, layer, x, target=1, **more):
    return getattr(attr, name)(model, layer).attribute(x, target=target, **{**METHODS[name], **more})


def parts_of(value):
    if isinstance(value, torch.Tensor):
        return (value,)
    return tuple(value.values()) if isinstance(value, dict) else tuple(value)


def same(found, expected, tolerance=1e-12):
    pairs = list(zip(parts_of(found), parts_of(expected), strict=True))
    return all(f.shape == e.shape and torch.allclose(f, e, rtol=tolerance, atol=tolerance) for f, e in pairs)


@every_method
@pytest.mark.parametrize("structure", STRUCTURES)
def test_structures_do_not_matter(name, structure):
    x = draw(3, 5, seed=1)
    plain = seeded(7, lambda: Structured("tuple"))
    net = seeded(7, lambda: Structured(structure))
    found = explained(name, net, net.packs, x)
    assert isinstance(found, dict if structure == "dict" else tuple)
    if structure == "dict":
        assert list(found) == ["low", "high"]
    assert same(found, explained(name, plain, plain.packs, x))


@pytest.mark.parametrize("structure", STRUCTURES)
def test_activations_and_neurons_of_structures(structure):
    net, x = seeded(7, lambda: Structured(structure)), draw(3, 5, seed=1)
    found = attr.LayerActivation(net, net.packs).attribute(x)
    h = torch.tanh(net.packs.inner(torch.sin(x))).detach()
    assert same(found, (h[:, :2], h[:, 2:]))

    def neuron(value):
        low, high = parts_of(value)
        return low[:, 1] * high[:, 0]

    gradient = attr.NeuronGradient(net, net.packs).attribute(x, neuron)
    inner = lambda v: torch.tanh(net.packs.inner(torch.sin(v)))  # noqa: E731
    expected = attr.Saliency(lambda v: inner(v)[:, 1] * inner(v)[:, 2]).attribute(x, abs=False)
    assert same(gradient, expected)


@every_method
def test_keyword_only_inputs(name):
    net, x = seeded(6, KeywordNet), draw(3, 5, seed=1)
    found = explained(name, net, net.adds, x, attribute_to_layer_input=True)
    assert len(parts_of(found)) == 2
    if name not in {"LayerConductance", "InternalInfluence", "LayerGradientShap"}:
        with torch.no_grad():
            z = torch.sin(net.first(x)), x**2
            start = torch.sin(net.first(torch.full_like(x, 0.2))), torch.full_like(x, 0.04)
        rest = lambda value, shift: net.out(net.adds(value=value, shift=shift)) ** 2  # noqa: E731
        expected = {
            "LayerGradientXActivation": lambda: attr.InputXGradient(rest).attribute(z, 1),
            "LayerIntegratedGradients": lambda: attr.IntegratedGradients(rest).attribute(z, start, 1, n_steps=8),
            "LayerDeepLift": lambda: attr.DeepLift(rest).attribute(z, start, 1),
            "LayerDeepLiftShap": lambda: attr.DeepLift(rest).attribute(z, start, 1),
            "LayerLRP": lambda: attr.LRP(rest).attribute(z, 1),
        }[name]()
        assert same(found, expected, 1e-9)


class TimeFirst(nn.Module):
    """Recurrent-like: the layer's values are (T, N, C)."""

    def __init__(self, first):
        super().__init__()
        self.first, self.embed, self.inner = first, nn.Linear(3, 4), nn.Linear(4, 4)
        self.hold = nn.Identity()
        self.out = nn.Linear(4, 3)

    def forward(self, x):
        z = torch.tanh(self.embed(x))
        z = self.hold(z.transpose(0, 1) if self.first else z)
        z = torch.tanh(self.inner(z)).prod(0 if self.first else 1)
        return self.out(z).exp()


@every_method
@pytest.mark.parametrize("steps", [2, 3, 6])
@pytest.mark.filterwarnings("ignore::pellucid.errors.ExpansionWarning")
def test_time_before_examples(name, steps):
    """Rows are steps of time there, which may be more, fewer or as many as the examples, or a multiple of them."""
    if name == "LayerGradientShap":
        pytest.skip("the batch takes one position of the path there, instead of one per example; see below")
    x = draw(3, steps, 3, seed=1)
    first, last = seeded(8, lambda: TimeFirst(True)), seeded(8, lambda: TimeFirst(False))
    found, expected = explained(name, first, first.hold, x), explained(name, last, last.hold, x)
    assert same(found.transpose(0, 1), expected, 1e-9)


@pytest.mark.parametrize("steps", [2, 3, 6])
@pytest.mark.filterwarnings("ignore::pellucid.errors.ExpansionWarning")
def test_random_lines_are_straight_where_rows_are_no_examples(steps):
    """Each step of a product gets the same share, 1/steps; with positions of their own it would be 1/2^(steps-1)."""
    hold = nn.Identity()
    x = draw(3, steps, 2, seed=1).abs() + 0.5
    found = attr.LayerGradientShap(lambda v: hold(v.transpose(0, 1)).prod(0).sum(1), hold).attribute(
        x, 0.0, n_samples=400, seed=1
    )
    expected = x.prod(1) / steps
    assert torch.allclose(found, expected.expand(steps, 3, 2), rtol=0.2)


class Windows(nn.Module):
    """Cuts each image into four windows that pass a layer as rows of their own."""

    def __init__(self):
        super().__init__()
        self.inner, self.act, self.out = nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)

    def forward(self, x):
        rows = x.reshape(len(x) * 4, 4)
        return self.out(self.act(self.inner(rows)).reshape(len(x), 4, 5).prod(1)) ** 2


class Whole(Windows):
    """The same with an additional dimension in place of rows."""

    def forward(self, x):
        return self.out(self.act(self.inner(x.reshape(len(x), 4, 4))).prod(1)) ** 2


@every_method
def test_windows(name):
    x = draw(3, 16, seed=1)
    net, whole = seeded(9, Windows), seeded(9, Whole)
    found, expected = explained(name, net, net.act, x), explained(name, whole, whole.act, x)
    assert found.shape == (12, 5)
    assert same(found.reshape(3, 4, 5), expected)


class Pooled(nn.Module):
    """A layer whose value has no rows: statistics of the batch."""

    def __init__(self, dims):
        super().__init__()
        self.inner, self.dims, self.hold = nn.Linear(4, 5), dims, nn.Identity()
        self.out = nn.Linear(5, 3)

    def forward(self, x):
        z = torch.tanh(self.inner(x))
        statistic = self.hold(z.mean() if self.dims == 0 else z.mean(0)[:4] if self.dims == 1 else z.mean(0)[None, :2])
        return self.out(z * statistic.exp().sum()) ** 2


@every_method
@pytest.mark.parametrize("dims", [0, 1, 2])
@pytest.mark.filterwarnings("ignore::pellucid.errors.ExpansionWarning")
def test_values_without_rows(name, dims):
    """The gradient of all explained values by the statistic, and their change with it."""
    net, x = seeded(10, lambda: Pooled(dims)), draw(3, 4, seed=1)
    try:
        found = explained(name, net, net.hold, x)
    except UnsupportedModelError:
        assert name in RULES
        return
    assert found.shape == [(), (4,), (1, 2)][dims]
    with torch.no_grad():
        z, start = torch.tanh(net.inner(x)), torch.tanh(net.inner(torch.full_like(x, 0.2)))
        cut = lambda v: v.mean() if dims == 0 else v.mean(0)[:4] if dims == 1 else v.mean(0)[None, :2]  # noqa: E731
        here, there = cut(z), cut(start)

    def rest(s):
        return (net.out(z * s.exp().sum()) ** 2)[:, 1].sum()

    if name == "LayerGradientXActivation":
        leaf = here.clone().requires_grad_()
        assert same(found, torch.autograd.grad(rest(leaf), leaf)[0] * here)
    if name in {"LayerIntegratedGradients", "LayerDeepLift"}:
        assert torch.allclose(found.sum(), rest(here) - rest(there), rtol=1e-4)


class Overwritten(nn.Module):
    """An in-place rectifier behind each layer."""

    def __init__(self, inplace):
        super().__init__()
        self.one, self.act = nn.Linear(5, 6), nn.ReLU(inplace=inplace)
        self.two, self.last = nn.Linear(6, 4), nn.ReLU(inplace=inplace)
        self.out = nn.Linear(4, 3)

    def forward(self, x):
        return self.out(self.last(self.two(self.act(self.one(x)))))


@every_method
@pytest.mark.parametrize("at", ["one", "act", "two"])
def test_in_place_rectifiers_behind_the_layer(name, at):
    x = draw(3, 5, seed=1)
    plain, writing = seeded(11, lambda: Overwritten(False)), seeded(11, lambda: Overwritten(True))
    expected = explained(name, plain, getattr(plain, at), x)
    assert same(explained(name, writing, getattr(writing, at), x), expected)
    activation = attr.LayerActivation(writing, writing.one).attribute(x)
    assert torch.equal(activation, writing.one(x).detach())
    into = explained(name, writing, writing.act, x, attribute_to_layer_input=True)
    assert same(into, explained(name, plain, plain.one, x))


class Checkpointed(nn.Module):
    """Recomputes its middle in the backward pass."""

    def __init__(self, net, reentrant=False):
        super().__init__()
        self.net, self.reentrant = net, reentrant

    def middle(self, z):
        return self.net.act2(self.net.two(self.net.act1(z)))

    def forward(self, x):
        return self.net.three(checkpoint(self.middle, self.net.one(x), use_reentrant=self.reentrant))


@every_method
@pytest.mark.parametrize("at", ["one", "act1", "two", "act2"])
def test_layers_inside_checkpoints(name, at):
    """What is recomputed in the backward pass are the model's own values: other ones put there would be lost."""
    net, x = seeded(1, Net), draw(3, 5, seed=1)
    layer = getattr(net, at)
    if at != "one" and name in {"LayerIntegratedGradients", "LayerConductance", "LayerGradientShap"}:
        for options in ({}, {"internal_batch_size": 3}):
            with pytest.raises(UnsupportedModelError, match=f"layer 'net.{at}' runs inside a checkpoint.*off"):
                explained(name, Checkpointed(net), layer, x, **options)
        return
    assert same(explained(name, Checkpointed(net), layer, x), explained(name, net, layer, x))


@every_method
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_layers_inside_reentrant_checkpoints(name):
    """Their forward pass runs without gradients, which must not look like a layer without influence."""
    net, x = seeded(1, Net), draw(3, 5, seed=1)
    with pytest.raises(UnsupportedModelError, match="checkpoint"):
        explained(name, Checkpointed(net, reentrant=True), net.two, x)


def test_neurons_before_checkpoints():
    net, x = seeded(1, Net), draw(3, 5, seed=1)
    found = attr.NeuronGradient(Checkpointed(net), net.act2).attribute(x, 1)
    assert same(found, attr.NeuronGradient(net, net.act2).attribute(x, 1))


class Autocast(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            return self.net(x)


@every_method
@pytest.mark.filterwarnings("ignore::pellucid.errors.CompletenessWarning")
def test_autocast(name):
    """The layer's values are bfloat16, and so are its attributions; they are near those in full precision."""
    net, x = seeded(1, Net), draw(3, 5, seed=1)
    expected = explained(name, net, net.act1, x)
    net32 = net.float()
    found = explained(name, Autocast(net32), net32.act1, x.float())
    assert found.dtype == torch.bfloat16
    assert (found.double() - expected).abs().max() <= 0.06 * expected.abs().max() + 5e-3


@every_method
@pytest.mark.filterwarnings("ignore::pellucid.errors.CompletenessWarning")
def test_low_precision(name):
    net, x = seeded(1, Net), draw(3, 5, seed=1)
    expected = explained(name, net, net.act1, x)
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.bfloat16, 0.1)):
        found = explained(name, net.to(dtype), net.act1, x.to(dtype))
        assert found.dtype == dtype
        assert (found.double() - expected).abs().max() <= tolerance * (1 + expected.abs().max())


@every_method
def test_hooks_of_the_users_own(name):
    """They see what flows, before ours; what they return counts as the layer's value."""
    net, x = seeded(1, Net), draw(3, 5, seed=1)
    doubled = _doubled(seeded(1, Net))
    wanted = explained(name, doubled, doubled.hold, x)
    handle = net.act1.register_forward_hook(lambda _, __, output: 2 * output)
    before = len(net.act1._forward_hooks)
    found = explained(name, net, net.act1, x)
    assert same(found, wanted)
    assert len(net.act1._forward_hooks) == before
    handle.remove()


def _doubled(net):
    class Doubled(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.hold = net, nn.Identity()

        def forward(self, x):
            z = self.hold(2 * net.act1(net.one(x)))
            return net.three(net.act2(net.two(z)))

    return Doubled()


@every_method
def test_compiled_models(name):
    net, x = seeded(1, Net), draw(3, 5, seed=1)
    expected = explained(name, net, net.act1, x)
    compiled = torch.compile(net, backend="eager")
    assert same(explained(name, compiled, net.act1, x), expected)
    assert same(explained(name, lambda v: compiled(v) * 1, net.act1, x), expected)
    inner = seeded(1, Net)
    inner.act1 = torch.compile(inner.act1, backend="eager")
    assert same(explained(name, inner, inner.act1, x), expected)


@every_method
def test_functions_around_models(name):
    net, x = seeded(1, Net), draw(3, 5, seed=1)

    def function(v, weights):
        return (net(v) * weights).sum(1)

    weights = torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64)
    found = explained(name, function, net.act1, x, None, additional_forward_args=weights.expand(3, 3).clone())
    assert same(found, explained(name, net, net.act1, x))


@every_method
def test_frozen_parameters(name):
    net, x = seeded(1, Net), draw(3, 5, seed=1)
    expected = explained(name, net, net.act1, x)
    assert same(explained(name, net.requires_grad_(False), net.act1, x), expected)
    with torch.no_grad():
        assert same(explained(name, net, net.act1, x), expected)
    with torch.inference_mode():
        assert same(explained(name, net, net.act1, x * 1), expected)


class Counts(nn.Module):
    """Changes buffers in every forward pass, on both sides of the layer."""

    def __init__(self):
        super().__init__()
        self.net = Net()
        self.register_buffer("before", torch.zeros(1))
        self.register_buffer("after", torch.zeros(1))

    def forward(self, x):
        self.before += 1
        z = self.net.act1(self.net.one(x))
        self.after = self.after + 1
        return self.net.three(self.net.act2(self.net.two(z)))


@every_method
def test_buffers_that_change_in_the_forward_pass(name):
    net, x = seeded(1, Counts), draw(3, 5, seed=1)
    buffers = net.before, net.after
    found = explained(name, net, net.net.act1, x)
    assert (net.before, net.after) == buffers
    assert float(net.before) == float(net.after) == 0.0
    assert net.before is buffers[0]
    assert net.after is buffers[1]
    assert same(found, explained(name, net.net, net.net.act1, x))


class Forces(nn.Module):
    """Differentiates an energy within its forward pass."""

    def __init__(self, where):
        super().__init__()
        self.one, self.hold, self.out, self.where = nn.Linear(5, 5), nn.Identity(), nn.Linear(5, 3), where

    def energy(self, v):
        with torch.enable_grad():
            v = v if v.requires_grad else v.detach().requires_grad_()
            (g,) = torch.autograd.grad(torch.tanh(self.one(v)).pow(2).sum(), v, create_graph=True)
        return g

    def forward(self, x):
        x = self.energy(x) if self.where == "before" else x
        z = self.hold(x)
        return self.out(self.energy(z) if self.where == "behind" else torch.sin(z))


@gradient_methods
@pytest.mark.parametrize("where", ["before", "behind"])
def test_models_that_differentiate_inside_themselves(name, where):
    net, x = seeded(3, lambda: Forces(where)), draw(3, 5, seed=1)

    def by_hand(v):
        t = torch.tanh(net.one(v))
        return (2 * t * (1 - t**2)) @ net.one.weight

    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.hold = nn.Identity()

        def forward(self, v):
            z = self.hold(by_hand(v) if where == "before" else v)
            return net.out(by_hand(z) if where == "behind" else torch.sin(z))

    plain = Plain()
    assert same(explained(name, net, net.hold, x), explained(name, plain, plain.hold, x), 1e-10)


def test_a_layer_that_is_the_model_itself():
    net, x = seeded(1, Net), draw(3, 5, seed=1)
    found = attr.LayerIntegratedGradients(net, net).attribute(x, target=1, attribute_to_layer_input=True)
    assert same(found, attr.IntegratedGradients(net).attribute(x, target=1))
    out = attr.LayerGradientXActivation(net, net).attribute(x, target=1)
    assert same(out, net(x).detach() * torch.tensor([0.0, 1.0, 0.0]).double())


@every_method
def test_batches_equal_their_examples_one_at_a_time(name):
    net, x = seeded(2, ConvNet), draw(3, 2, 6, 6, seed=1)
    if name == "LayerGradientShap":
        pytest.skip("draws are made for a batch")
    together = explained(name, net, net.conv2, x, [0, 1, 2])
    alone = [explained(name, net, net.conv2, x[i : i + 1], i) for i in range(3)]
    assert same(together, torch.cat(alone), 1e-11)


@pytest.mark.parametrize(
    "name", [m for m in METHODS if m not in {"LayerGradientXActivation", "LayerLRP", "LayerDeepLift"}]
)
def test_chunks_do_not_matter(name):
    net, x = seeded(2, ConvNet), draw(3, 2, 6, 6, seed=1)
    whole = explained(name, net, net.conv2, x)
    for cap in (1, 2, 3, 4, 7, 1000):
        assert same(explained(name, net, net.conv2, x, internal_batch_size=cap), whole, 1e-10)


@pytest.mark.filterwarnings("ignore::pellucid.errors.ExpansionWarning")
def test_transformers_with_time_first():
    x = draw(3, 4, 3, seed=1)
    first, last = (seeded(5, lambda b=b: Tokens(batch_first=b)) for b in (False, True))
    for cls in (attr.LayerIntegratedGradients, attr.LayerConductance):
        found = cls(first, first.encoder.layers[0]).attribute(x, target=1, n_steps=6)
        expected = cls(last, last.encoder.layers[0]).attribute(x, target=1, n_steps=6)
        assert same(found.transpose(0, 1), expected, 1e-10)


def test_named_tuples_flow_on_as_such():
    """The rest of the model takes its parts by name."""
    net, x = seeded(7, lambda: Structured("named tuple")), draw(3, 5, seed=1)
    seen = []
    net.packs.register_forward_hook(lambda *a: None)
    unpack = net.unpack
    net.unpack = lambda v: (seen.append(type(v)), unpack(v))[1]
    attr.LayerIntegratedGradients(net, net.packs).attribute(x, target=0)
    assert set(seen) == {Pair}


def test_a_number_for_the_whole_batch_is_taken_from_each_example():
    """What an example loses without a value that all share is its own: one result per example."""
    layer = nn.Identity()

    def model(x):
        return layer(x.mean()) * x.sum(1)

    x = torch.tensor([[1.0, 2.0], [3.0, 0.5]])
    found = attr.LayerFeatureAblation(model, layer).attribute(x)
    assert torch.allclose(found, x.mean() * x.sum(1))
