"""Layers that are called any number of times, hold tensors of any shapes, and neurons chosen in any form."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pellucid.attr import (
    LayerActivation,
    LayerConductance,
    LayerDeepLift,
    LayerFeatureAblation,
    LayerGradCam,
    LayerGradientXActivation,
    LayerIntegratedGradients,
    NeuronConductance,
    NeuronDeepLift,
    NeuronFeatureAblation,
    NeuronGradient,
    NeuronIntegratedGradients,
)
from tests.fuzz.asking import answer, draw, fuzzed, odd_values, quiet, refused, small_shapes
from tests.models import DOUBLE
from tests.reference import gradients

SHAPES = ("vector", "matrix", "image", "pair", "dictionary", "nested", "integers", "nothing", "scalar", "mixed")


class Layer(nn.Module):
    """Gives what it is asked for, of a curved function of its input (N, 4)."""

    def __init__(self, gives):
        super().__init__()
        self.gives = gives
        self.dense = nn.Linear(4, 4).double()
        with torch.no_grad():
            self.dense.weight.copy_(torch.sin(torch.arange(16.0, dtype=DOUBLE)).reshape(4, 4))
            self.dense.bias.fill_(0.2)

    def forward(self, x):
        z = torch.tanh(self.dense(x))
        return {
            "vector": z,
            "matrix": z.reshape(-1, 2, 2),
            "image": z.reshape(-1, 1, 2, 2),
            "pair": (z, z[:, :2] ** 2),
            "dictionary": {"a": z, "b": z[:, :1]},
            "nested": ({"a": z}, [z[:, :2], torch.ones(2, dtype=torch.long)]),
            "integers": (z > 0).long(),
            "nothing": None,
            "scalar": z.sum(),
            "mixed": z - z.mean(0),
        }[self.gives]


def floats(value):
    if isinstance(value, torch.Tensor):
        return [value] if value.is_floating_point() else []
    values = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [f for part in values for f in floats(part)]


class Net(nn.Module):
    """Calls its layer some times, with a way around it, and scores three classes."""

    def __init__(self, gives, calls, around):
        super().__init__()
        self.layer, self.calls, self.around = Layer(gives), calls, around
        self.unused = nn.Linear(4, 4).double()

    def __repr__(self):
        return f"Net({self.layer.gives!r}, {self.calls}, {self.around})"

    def after(self, values, x):
        """Scores from the floating-point values of one call."""
        total = x.sum(1, keepdim=True) * torch.ones(3, dtype=DOUBLE) * self.around
        for i, value in enumerate(values):
            flat = (
                value.reshape(len(x), -1)
                if value.dim() and len(value) == len(x)
                else value.reshape(1, -1).expand(len(x), -1)
            )
            weights = torch.cos(torch.arange(flat.shape[1] * 3, dtype=DOUBLE) + i).reshape(-1, 3)
            total = total + (flat @ weights) ** 2 + flat @ weights
        return total

    def forward(self, x):
        x = x.reshape(len(x), -1)
        x = torch.cat([x, x.new_zeros(len(x), 4)], 1)[:, :4]
        out = x.new_zeros(len(x), 3)
        for k in range(self.calls):
            out = out + self.after(floats(self.layer(x * (k + 1))), x)
        return out


@st.composite
def nets(draw_, shapes=SHAPES, most_calls=3):
    gives = draw_(st.sampled_from(shapes))
    return Net(gives, draw_(st.integers(0, most_calls)), draw_(st.sampled_from([0.0, 0.5]))), gives


METHODS = {
    "activation": (LayerActivation, {}),
    "gradient": (LayerGradientXActivation, {"target": 0}),
    "integral": (LayerIntegratedGradients, {"target": 0, "n_steps": 3}),
    "conductance": (LayerConductance, {"target": 0, "n_steps": 3}),
    "rules": (LayerDeepLift, {"target": 0}),
    "ablation": (LayerFeatureAblation, {"target": 0}),
    "cam": (LayerGradCam, {"target": 0, "layout": "channels_first"}),
}


@given(found=nets(), name=st.sampled_from(sorted(METHODS)), shape=small_shapes(1, 2), rows=st.integers(1, 3))
@fuzzed(120)
def test_any_layer(found, name, shape, rows):
    """Attributions have the form of the layer's value, or there is an error of ours."""
    net, gives = found
    build, arguments = METHODS[name]
    x = draw((rows, *shape), 1)
    result = answer(lambda: build(net, net.layer).attribute(x, **arguments))
    if net.calls == 0 or gives in {"nothing", "integers"}:
        assert refused(result)
    elif not refused(result) and name != "cam":
        values = floats(net.layer(torch.cat([x.reshape(rows, -1), x.new_zeros(rows, 4)], 1)[:, :4]))
        shapes = [a.shape for a in floats(result)]
        expected = [v.shape for v in values]
        each = [torch.Size([rows])] if gives == "scalar" and name == "ablation" else expected  # what each example loses
        assert shapes in (expected, expected * net.calls, each, each * net.calls)


@given(
    found=nets(("vector", "matrix", "image", "pair", "dictionary", "nested"), 1),
    rows=st.integers(1, 3),
    target=st.integers(0, 2),
)
@fuzzed(60)
def test_gradients_at_layers(found, rows, target):
    net, _ = found
    if net.calls == 0:
        return
    x = draw((rows, 4), 1)
    result = floats(quiet(lambda: LayerGradientXActivation(net, net.layer).attribute(x, target)))
    plain = floats(quiet(lambda: LayerActivation(net, net.layer).attribute(x)))
    for n in range(rows):
        one = x[n : n + 1]
        values = tuple(v.detach() for v in floats(net.layer(one)))
        expected = gradients.gradient(lambda *z, one=one: net.after(z, one)[0, target], values, lambda o: o)
        for a, b, z, g in zip(result, plain, values, expected, strict=True):
            assert torch.allclose(b[n : n + 1], z, atol=1e-12)
            assert torch.allclose(a[n : n + 1], g * z, atol=1e-10)


@given(
    found=nets(("vector", "matrix", "image"), 2),
    rows=st.integers(1, 2),
    base=st.sampled_from([None, 0.3, "rows"]),
    n_steps=st.sampled_from([3, 30, "auto"]),
)
@fuzzed(40)
def test_layers_are_complete_where_nothing_goes_around(found, rows, base, n_steps):
    net, _ = found
    if net.calls == 0 or net.around:
        return
    x = draw((rows, 4), 1)
    base = draw((rows, 4), 2) if base == "rows" else base
    start = torch.zeros_like(x) if base is None else torch.as_tensor(base, dtype=DOUBLE).expand_as(x)
    change = (net(x) - net(start))[:, 1]
    for build in (LayerIntegratedGradients, LayerConductance, LayerDeepLift):
        if build is LayerConductance and n_steps == "auto":
            continue
        asked = {"baselines": base, "target": 1, "return_convergence_delta": True}
        asked |= {} if build is LayerDeepLift else {"n_steps": n_steps}
        values, delta = quiet(lambda build=build, asked=asked: build(net, net.layer).attribute(x, **asked))
        assert torch.allclose(values.reshape(rows, -1).sum(1) - change, delta.expand(rows), atol=1e-9)
        if n_steps == 30 or build is LayerDeepLift:
            assert (delta.abs() <= 1e-3 * (1 + change.abs())).all()


def selectors(gives):
    """Selectors that fit, with what they select from the value of one row."""
    index = st.integers(-2, 1)
    sliced = st.sampled_from([slice(None), slice(0, 1), slice(1, None), slice(None, None, 2)])
    part = st.one_of(index, sliced)
    return {
        "vector": st.one_of(index, st.tuples(part)),
        "matrix": st.tuples(part, part),
        "image": st.tuples(st.one_of(st.sampled_from([0, -1]), sliced.filter(lambda s: s.start != 1)), part, part),
    }[gives]


NEURONS = (NeuronGradient, NeuronIntegratedGradients, NeuronDeepLift, NeuronFeatureAblation, NeuronConductance)


@given(found=nets(("vector", "matrix", "image"), 2), rows=st.integers(1, 3), data=st.data())
@fuzzed(60)
def test_neurons(found, rows, data):
    """A neuron's gradient is that of its value summed over calls and over what a slice selects."""
    net, gives = found
    if net.calls == 0:
        return
    selector = data.draw(selectors(gives))
    picked = selector if isinstance(selector, tuple) else (selector,)
    x = draw((rows, 4), 1)

    def value(v):
        return sum(net.layer(v * (k + 1))[(0, *picked)].sum() for k in range(net.calls))

    found = NeuronGradient(net, net.layer).attribute(x, selector)
    both = NeuronGradient(net, net.layer).attribute(x, neurons=[selector, lambda z: z.reshape(len(z), -1)[:, 0]])
    called = NeuronGradient(net, net.layer).attribute(x, lambda z: z[(slice(None), *picked)].reshape(len(z), -1).sum(1))
    ablated = NeuronFeatureAblation(net, net.layer).attribute(x, selector)
    whole, start = (
        quiet(lambda: NeuronIntegratedGradients(net, net.layer).attribute(x, selector, n_steps=60)),
        torch.zeros(1, 4, dtype=DOUBLE),
    )
    for n in range(rows):
        one = x[n : n + 1]
        (expected,) = gradients.gradient(value, (one,), lambda o: o)
        for result in (found, both[0], called):
            assert torch.allclose(result[n : n + 1], expected, atol=1e-10)
        lost = torch.stack([value(one) - value(torch.where(torch.arange(4) == i, 0.0, one)) for i in range(4)])
        assert torch.allclose(ablated[n], lost, atol=1e-10)
        assert abs(whole[n].sum() - (value(one) - value(start))) < 1e-4


@given(found=nets(), value=odd_values(), build=st.sampled_from(NEURONS), several=st.booleans())
@fuzzed(150)
def test_odd_selectors(found, value, build, several):
    net, _ = found
    x = draw((2, 4), 1)
    more = {"target": 0} if build is NeuronConductance else {}
    selector = {"neurons": value} if several else {"neuron_selector": value}
    result = answer(lambda: build(net, net.layer).attribute(x, **selector, **more))
    assert refused(result) or result.shape[-2:] == x.shape


@given(found=nets(), value=odd_values(), name=st.sampled_from(sorted(METHODS)))
@fuzzed(80)
def test_odd_layers(found, value, name):
    """Something else in the place of the layer is refused, and so is a layer that does not run."""
    net, _ = found
    build, arguments = METHODS[name]
    x = draw((2, 4), 1)
    for layer in (value, net.unused, nn.Linear(2, 2), [net.unused, value], [net.layer, net.layer]):
        assert refused(answer(lambda layer=layer: build(net, layer).attribute(x, **arguments)))
