"""Layer and neuron methods agree with Captum in float64, wherever Captum is right."""

import functools
import warnings

import pytest
import torch
from torch import nn

from pellucid import attr
from tests.layers.models import ConvNet, KeywordNet, Mixed, Net, Tokens, TupleNet, draw, seeded

captum = pytest.importorskip("captum.attr", reason="Captum is a development dependency")

TOLERANCE = 1e-7


def close(theirs, ours, tolerance=TOLERANCE):
    if isinstance(theirs, tuple | list):
        same = isinstance(ours, tuple | list) and len(theirs) == len(ours)
        return same and all(close(t, o, tolerance) for t, o in zip(theirs, ours, strict=True))
    return theirs.shape == ours.shape and torch.allclose(theirs, ours, rtol=0, atol=tolerance)


@functools.cache
def questions():
    """Models, the layers that are explained in them, and what is asked."""
    net, conv = seeded(1, Net), seeded(2, ConvNet)
    mixed, tokens = seeded(3, Mixed), seeded(4, Tokens)
    pair, keyword = seeded(5, TupleNet), seeded(6, KeywordNet)
    x, image = draw(3, 5, seed=1), draw(2, 2, 6, 6, seed=2)
    two = {"inputs": (draw(3, 4, seed=3), draw(3, 3, seed=4)), "target": [2, 0, 1]}
    return {
        "mlp": (net, [net.one, net.act1, net.two, net.three], {"inputs": x, "target": 1}, draw(3, 5, seed=8)),
        "mlp, target per example": (net, [net.act2], {"inputs": x, "target": [0, 2, 1]}, draw(1, 5, seed=8)),
        "several outputs": (
            lambda v: net(v)[:, :, None] * torch.arange(1.0, 4.0, dtype=torch.float64),
            [net.two],
            {"inputs": (x,), "target": (1, 2)},
            (0.25,),
        ),
        "cnn": (conv, [conv.conv1, conv.act1, conv.conv2, conv.flat], {"inputs": image, "target": 2}, 0.1),
        "two inputs": (
            mixed,
            [mixed.left, mixed.join],
            {**two, "additional_forward_args": (draw(3, seed=6), 2)},
            (draw(3, 4, seed=9), 0.3),
        ),
        "tokens": (
            tokens,
            [tokens.embed, tokens.encoder.layers[0], tokens.encoder.layers[1].linear1, tokens.norm],
            {"inputs": draw(2, 4, 3, seed=7), "target": 1},
            draw(1, 4, 3, seed=10),
        ),
        "tuple": (pair, [pair.split], {"inputs": x, "target": 2}, draw(3, 5, seed=8)),
        "keywords": (keyword, [keyword.adds, keyword.first], {"inputs": x, "target": 0}, draw(3, 5, seed=8)),
    }


def asked(but=()):
    every = [(name, i) for name, (_, layers, _, _) in questions().items() for i in range(len(layers))]
    return pytest.mark.parametrize(("name", "layer"), [q for q in every if q[0] not in but])


def theirs_and_ours(cls, forward, layer, how, *, build=None, ours=True, **arguments):
    """What both classes of a name answer, or Captum's alone."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = getattr(captum, cls)(forward, layer, **(build or {})).attribute(**how, **arguments)
    return theirs, getattr(attr, cls)(forward, layer, **(build or {})).attribute(**how, **arguments) if ours else None


@asked()
def test_activations(name, layer):
    forward, layers, how, _ = questions()[name]
    how = {k: v for k, v in how.items() if k != "target"}
    assert close(*theirs_and_ours("LayerActivation", forward, layers[layer], how), 0.0)


@asked()
@pytest.mark.parametrize("build", [{}, {"multiply_by_inputs": False}])
def test_gradient_times_activation(name, layer, build):
    forward, layers, how, _ = questions()[name]
    assert close(*theirs_and_ours("LayerGradientXActivation", forward, layers[layer], how, build=build), 1e-12)


@pytest.mark.parametrize("name", ["mlp", "cnn", "tokens", "keywords"])
@pytest.mark.parametrize("memory_efficient", [False, True])
def test_lists_of_layers(name, memory_efficient):
    forward, layers, how, _ = questions()[name]
    plain = {k: v for k, v in how.items() if k != "target"}
    assert close(*theirs_and_ours("LayerActivation", forward, list(layers), plain), 0.0)
    build = {"memory_efficient": memory_efficient}
    assert close(*theirs_and_ours("LayerGradientXActivation", forward, list(layers), how, build=build), 1e-12)


def test_layer_integrated_gradients_of_parallel_layers():
    forward, _, how, base = questions()["two inputs"]
    both = [forward.left, forward.right]
    theirs, ours = theirs_and_ours("LayerIntegratedGradients", forward, both, how, baselines=base, n_steps=30)
    assert close(theirs, ours)


STEPS = pytest.mark.parametrize(
    ("method", "n_steps", "rows", "tolerance"),
    [
        ("gausslegendre", 12, None, 1e-6),
        ("riemann_middle", 8, None, 1e-11),
        ("riemann_left", 16, 7, 1e-11),
        ("riemann_right", 4, 6, 1e-11),
    ],
)
"""Captum's steps are float32; in Riemann sums a power of two of them is exact."""


@asked()
@STEPS
@pytest.mark.filterwarnings("ignore::pellucid.errors.ConvergenceWarning")
def test_layer_integrated_gradients(name, layer, method, n_steps, rows, tolerance):
    forward, layers, how, base = questions()[name]
    options = {"baselines": base, "n_steps": n_steps, "method": method, "internal_batch_size": rows}
    for build in ({}, {"multiply_by_inputs": False}):
        found = theirs_and_ours("LayerIntegratedGradients", forward, layers[layer], how, build=build, **options)
        assert close(*found, tolerance)


@asked(but=("tuple", "keywords", "two inputs"))
def test_layer_integrated_gradients_at_inputs_of_layers(name, layer):
    forward, layers, how, base = questions()[name]
    options = {"baselines": base, "n_steps": 30, "attribute_to_layer_input": True}
    assert close(*theirs_and_ours("LayerIntegratedGradients", forward, layers[layer], how, **options), 1e-6)


@asked()
@STEPS
def test_internal_influence(name, layer, method, n_steps, rows, tolerance):
    forward, layers, how, base = questions()[name]
    options = {"baselines": base, "n_steps": n_steps, "method": method, "internal_batch_size": rows}
    assert close(*theirs_and_ours("InternalInfluence", forward, layers[layer], how, **options), tolerance)


@pytest.mark.parametrize(("name", "layer"), [("mlp", 0), ("mlp", 2), ("tokens", 1), ("two inputs", 1)])
@pytest.mark.filterwarnings("ignore::pellucid.errors.ConvergenceWarning")
def test_conductance_in_the_limit(name, layer):
    """Captum's differences of values over steps come near the integral as one over their number."""
    forward, layers, how, base = questions()[name]
    _, exact = theirs_and_ours("LayerConductance", forward, layers[layer], how, baselines=base, n_steps=60)
    errors = []
    for n_steps in (50, 200, 800):
        options = {"baselines": base, "n_steps": n_steps, "method": "riemann_trapezoid", "internal_batch_size": 256}
        theirs, _ = theirs_and_ours("LayerConductance", forward, layers[layer], how, ours=False, **options)
        errors.append(float((theirs - exact).abs().max().detach()))
    assert errors[2] < 5e-3 * float(exact.abs().max())
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("options", [{}, {"relu_attributions": True}, {"attr_dim_summation": False}])
def test_grad_cam(layer, options):
    forward, layers, how, _ = questions()["cnn"]
    assert close(*theirs_and_ours("LayerGradCam", forward, layers[layer], how, **options), 1e-12)
    into = {**options, "attribute_to_layer_input": True}
    assert close(*theirs_and_ours("LayerGradCam", forward, layers[layer], how, **into), 1e-12)
    dense, inner, asked_of, _ = questions()["mlp"]
    assert close(*theirs_and_ours("LayerGradCam", dense, inner[0], asked_of, **options), 1e-12)


CUTTING = [("mlp", i) for i in range(4)] + [("mlp, target per example", 0)] + [("cnn", i) for i in range(4)]


@pytest.mark.parametrize(("name", "layer"), CUTTING)
@pytest.mark.parametrize("build", [{}, {"multiply_by_inputs": False}])
def test_layer_deep_lift(name, layer, build):
    """Captum does not take nested outputs here, and is right where every path leads through the layer."""
    forward, layers, how, base = questions()[name]
    options = {"build": build, "baselines": base, "return_convergence_delta": True}
    theirs, ours = theirs_and_ours("LayerDeepLift", forward, layers[layer], how, **options)
    assert close(theirs[0], ours[0], 1e-9)
    if not build:
        assert close(theirs[1], ours[1], 1e-9)


@pytest.mark.parametrize(("name", "layer"), CUTTING)
def test_layer_deep_lift_shap(name, layer):
    forward, layers, how, _ = questions()[name]
    rows = draw(4, *how["inputs"].shape[1:], seed=12)
    options = {"baselines": rows, "return_convergence_delta": True}
    theirs, ours = theirs_and_ours("LayerDeepLiftShap", forward, layers[layer], how, **options)
    assert close(theirs[0], ours[0], 1e-9)
    assert theirs[1].shape == ours[1].shape
    assert ours[1].abs().max() < 1e-10


def customs():
    yield lambda m: tuple(v * 2 for v in m)
    yield lambda m, x, b: tuple(a * (c - d) ** 2 for a, c, d in zip(m, x, b, strict=True))


@pytest.mark.parametrize("custom", list(customs()))
def test_layer_deep_lift_with_custom_functions(custom):
    forward, layers, how, base = questions()["mlp"]
    options = {"baselines": base, "custom_attribution_func": custom}
    assert close(*theirs_and_ours("LayerDeepLift", forward, layers[1], how, **options), 1e-9)


def test_layer_lrp():
    """Captum knows a few kinds of layers; biases and rectifiers are among them."""
    dense = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3))
    images = seeded(12, Flat)
    for model, layers, x in (
        (dense.double(), [dense[0], dense[2]], draw(3, 5, seed=1)),
        (images, [images.conv, images.pool], draw(3, 2, 6, 6, seed=1)),
    ):
        how = {"inputs": x, "target": 1, "return_convergence_delta": True}
        for layer in layers:
            theirs, ours = theirs_and_ours("LayerLRP", model, layer, how)
            assert close(theirs[0], ours[0])
            assert close(theirs[1], ours[1])
        theirs, ours = theirs_and_ours("LayerLRP", model, layers, how)
        assert close(theirs[0], ours[0])


class Flat(nn.Module):
    """Reshapes within the forward pass, since Captum's LRP has no rule for a module that does."""

    def __init__(self):
        super().__init__()
        self.conv, self.relu, self.pool = nn.Conv2d(2, 3, 3), nn.ReLU(), nn.AvgPool2d(2)
        self.head = nn.Linear(12, 3)

    def forward(self, x):
        return self.head(self.pool(self.relu(self.conv(x))).flatten(1))


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize("layer", [0, 2])
@pytest.mark.filterwarnings("ignore:.*upsampl.*")
def test_guided_grad_cam(mode, layer):
    forward, layers, how, _ = questions()["cnn"]
    assert close(*theirs_and_ours("GuidedGradCam", forward, layers[layer], how, interpolate_mode=mode), 1e-12)


DENSE = [3, (2,), (slice(1, 4),), lambda z: z[:, 0] * z[:, 2], lambda z: z.square().sum(1)]
SPATIAL = [(1, 2, 0), (slice(0, 2), 1, slice(None)), lambda z: z[:, 1].amax((1, 2))]
SELECTED = (
    [("mlp", i, s) for i in (0, 1) for s in DENSE]
    + [("cnn", i, s) for i in (0, 1) for s in SPATIAL]
    + [("two inputs", 1, s) for s in DENSE]
    + [("tokens", i, s) for i in (0, 1) for s in [(1, 2), (slice(0, 2), 3), lambda z: z[:, 0].prod(1)]]
    + [("tuple", 0, lambda parts: parts[0][:, 1] * parts[1].sum(1))]
    + [("keywords", 0, s) for s in DENSE]
)
selected = pytest.mark.parametrize(("name", "layer", "selector"), SELECTED)


def neuron_question(name, layer):
    forward, layers, how, base = questions()[name]
    return forward, layers[layer], {k: v for k, v in how.items() if k != "target"}, base


@selected
def test_neuron_gradients(name, layer, selector):
    forward, module, how, _ = neuron_question(name, layer)
    assert close(*theirs_and_ours("NeuronGradient", forward, module, how, neuron_selector=selector), 1e-12)


@pytest.mark.parametrize(
    ("name", "layer", "selector"), [s for s in SELECTED if s[:2] in {("mlp", 1), ("cnn", 1), ("tokens", 1)}]
)
def test_neuron_gradients_at_inputs_of_layers(name, layer, selector):
    forward, module, how, _ = neuron_question(name, layer)
    options = {"neuron_selector": selector, "attribute_to_neuron_input": True}
    assert close(*theirs_and_ours("NeuronGradient", forward, module, how, **options), 1e-12)


@selected
@pytest.mark.filterwarnings("ignore::pellucid.errors.ConvergenceWarning")
def test_neuron_integrated_gradients(name, layer, selector):
    forward, module, how, base = neuron_question(name, layer)
    for build in ({}, {"multiply_by_inputs": False}):
        options = {"build": build, "neuron_selector": selector, "baselines": base}
        for steps, tolerance in ({"n_steps": 40}, 1e-6), ({"n_steps": 8, "method": "riemann_middle"}, 1e-11):
            found = theirs_and_ours("NeuronIntegratedGradients", forward, module, how, **options, **steps)
            assert close(*found, tolerance)


def is_slice(selector):
    return isinstance(selector, tuple) and any(isinstance(part, slice) for part in selector)


@pytest.mark.parametrize(
    ("name", "layer", "selector"), [s for s in SELECTED if not is_slice(s[2]) and not callable(s[2])]
)
@pytest.mark.filterwarnings("ignore::pellucid.errors.ConvergenceWarning")
def test_neuron_conductance(name, layer, selector):
    """Of single neurons; Captum multiplies the sums over a slice, and functions of several neurons likewise."""
    forward, layers, how, base = questions()[name]
    options = {"neuron_selector": selector, "baselines": base, "n_steps": 16, "method": "riemann_middle"}
    for build in ({}, {"multiply_by_inputs": False}):
        assert close(*theirs_and_ours("NeuronConductance", forward, layers[layer], how, build=build, **options), 1e-11)


RULED = [s for s in SELECTED if s[0] in {"mlp", "cnn"}]


@pytest.mark.parametrize(("name", "layer", "selector"), [s for s in RULED if not callable(s[2])])
def test_neuron_deep_lift(name, layer, selector):
    forward, module, how, base = neuron_question(name, layer)
    for build in ({}, {"multiply_by_inputs": False}):
        options = {"build": build, "neuron_selector": selector, "baselines": base}
        assert close(*theirs_and_ours("NeuronDeepLift", forward, module, how, **options), 1e-9)
    rows = draw(3, *how["inputs"].shape[1:], seed=4)
    options = {"neuron_selector": selector, "baselines": rows}
    assert close(*theirs_and_ours("NeuronDeepLiftShap", forward, module, how, **options), 1e-9)


@pytest.mark.parametrize("selector", SPATIAL)
@pytest.mark.parametrize("cls", ["NeuronGuidedBackprop", "NeuronDeconvolution"])
def test_neurons_under_rectifier_rules(cls, selector):
    forward, module, how, _ = neuron_question("cnn", 2)
    assert close(*theirs_and_ours(cls, forward, module, how, neuron_selector=selector), 1e-12)


@pytest.mark.filterwarnings("ignore::pellucid.errors.SamplingWarning")
def test_gradient_shap_where_nothing_is_left_to_chance():
    """One baseline row and a linear rest of the model: all samples agree."""
    model = seeded(1, lambda: nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3)))
    x, rows = draw(3, 5, seed=1), draw(1, 5, seed=2)
    how = {"inputs": x, "baselines": rows, "target": 1, "n_samples": 3}
    assert close(*theirs_and_ours("LayerGradientShap", model, model[0], how), 1e-6)
    del how["target"]
    assert close(*theirs_and_ours("NeuronGradientShap", model, model[0], how, neuron_selector=2), 1e-6)


@pytest.mark.parametrize(("name", "layer"), [("mlp", 1), ("cnn", 1), ("tokens", 3)])
def test_layer_feature_ablation(name, layer):
    forward, layers, how, _ = questions()[name]
    for options in ({}, {"layer_baselines": 0.2, "perturbations_per_eval": 3}):
        assert close(*theirs_and_ours("LayerFeatureAblation", forward, layers[layer], how, **options), 1e-12)


def test_layer_feature_permutation():
    """Of two examples, which have one way to be exchanged; Captum would apply a target twice."""
    model = seeded(1, lambda: nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 1), nn.Flatten(0)))
    theirs = captum.LayerFeaturePermutation(model, model[1]).attribute(draw(2, 5, seed=1))
    assert close(theirs, attr.LayerFeaturePermutation(model, model[1]).attribute(draw(2, 5, seed=1), n_repeats=1))


@selected
def test_neuron_feature_ablation(name, layer, selector):
    forward, module, how, base = neuron_question(name, layer)
    options = {"neuron_selector": selector, "baselines": base}
    assert close(*theirs_and_ours("NeuronFeatureAblation", forward, module, how, **options), 1e-12)
