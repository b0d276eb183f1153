"""Arguments of single methods that the table of values does not vary."""

import warnings

import pytest
import torch
from torch import nn

from pellucid import attr
from tests.differential.questions import QUESTIONS
from tests.models import DOUBLE, mlp

captum = pytest.importorskip("captum.attr", reason="Captum is a development dependency")


def both(name, forward, call, **arguments):
    """Results of Captum's and of our class of this name."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = getattr(captum, name)(forward).attribute(**call, **arguments)
    return theirs, getattr(attr, name)(forward).attribute(**call, **arguments)


def equal(theirs, ours, tolerance=1e-9):
    if isinstance(theirs, tuple):
        return isinstance(ours, tuple) and all(equal(t, o, tolerance) for t, o in zip(theirs, ours, strict=True))
    return theirs.shape == ours.shape and torch.allclose(theirs, ours, rtol=0, atol=tolerance)


X, BASE, IMAGE = QUESTIONS["tanh"].inputs, QUESTIONS["tanh"].baselines, QUESTIONS["max-pooling"].inputs


@pytest.mark.filterwarnings("ignore::pellucid.errors.ConvergenceWarning")
def test_a_deliberate_difference_trapezoid():
    """Captum's trapezoid weights sum to (n - 1) / n; ours to one."""
    theirs, ours = both(
        "IntegratedGradients", mlp(), {"inputs": X, "target": 1}, baselines=BASE, n_steps=20, method="riemann_trapezoid"
    )
    assert equal(theirs * 20 / 19, ours, 1e-6)


@pytest.mark.parametrize("question", QUESTIONS)
def test_convergence_delta(question):
    asked = QUESTIONS[question]
    forward, call, base = asked.model, asked.call, asked.baselines
    keep = {k: v for k, v in call.items() if k != "inputs"}
    attributions = call["inputs"]
    theirs = captum.IntegratedGradients(forward).compute_convergence_delta(attributions, base, call["inputs"], **keep)
    ours = attr.IntegratedGradients(forward).compute_convergence_delta(attributions, base, call["inputs"], **keep)
    assert equal(theirs, ours)


@pytest.mark.filterwarnings("ignore::pellucid.errors.SamplingWarning")
def test_gradient_shap_with_one_baseline_on_an_additive_model():
    """Linear models leave nothing to chance, so samples cannot differ."""
    x, base = X, BASE[:1]
    theirs = captum.GradientShap(lambda v: v @ torch.arange(5.0, dtype=DOUBLE)).attribute(x, baselines=base)
    ours = attr.GradientShap(lambda v: v @ torch.arange(5.0, dtype=DOUBLE)).attribute(x, baselines=base)
    assert equal(theirs, ours, 1e-6)


@pytest.mark.parametrize(
    ("shape", "dims", "mode"),
    [
        ((1, 2, 3, 3), (6, 5), "nearest"),
        ((1, 2, 3, 3), (6, 5), "bilinear"),
        ((1, 2, 4), 9, "linear"),
        ((1, 1, 2, 2, 2), (3, 4, 5), "trilinear"),
        ((1, 2, 4, 4), 2, "area"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*upsampl.*")
def test_interpolate(shape, dims, mode):
    values = torch.randn(shape)
    assert equal(
        captum.LayerAttribution.interpolate(values, dims, mode), attr.LayerAttribution.interpolate(values, dims, mode)
    )


def test_deep_lift_shap_where_captum_has_a_rule():
    x, rows = X, torch.randn(4, 5, dtype=DOUBLE)
    for baselines in (rows, lambda: rows, lambda inputs: rows + inputs.mean() * 0):
        theirs, ours = both(
            "DeepLiftShap",
            mlp(activation=nn.ReLU),
            {"inputs": x, "target": 1},
            baselines=baselines,
            return_convergence_delta=True,
        )
        assert equal(theirs[0], ours[0], 1e-9)
        assert ours[1].shape == theirs[1].shape == (12,)


def customs():
    yield lambda m: tuple(v * 2 for v in m)
    yield lambda m, x: tuple(a * b for a, b in zip(m, x, strict=True))
    yield lambda m, x, b: tuple(a * (c - d) ** 2 for a, c, d in zip(m, x, b, strict=True))


@pytest.mark.parametrize("custom", list(customs()))
@pytest.mark.parametrize("name", ["DeepLift", "DeepLiftShap"])
def test_custom_attribution_functions(name, custom):
    x, base = X, BASE
    theirs, ours = both(name, mlp(), {"inputs": x, "target": 1}, baselines=base, custom_attribution_func=custom)
    assert equal(theirs, ours, 1e-9)
    delta = getattr(attr, name)(mlp()).attribute(
        x, base, target=1, custom_attribution_func=custom, return_convergence_delta=True
    )[1]
    assert delta.abs().max() < 1e-12  # theirs compares the custom values with the difference of outputs


@pytest.mark.parametrize("name", ["GuidedBackprop", "Deconvolution"])
@pytest.mark.parametrize("inplace", [False, True])
def test_rectifier_rules(name, inplace):
    class Separate(nn.ReLU):
        def __init__(self):
            super().__init__(inplace=inplace)

    x = X
    assert equal(*both(name, mlp(activation=Separate), {"inputs": x, "target": [0, 2, 1]}))
    image = IMAGE
    convolutional = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.ReLU(inplace=inplace), nn.MaxPool2d(2), nn.Conv2d(4, 3, 3), nn.ReLU(), nn.Flatten()
    ).to(DOUBLE)
    assert equal(*both(name, convolutional, {"inputs": image, "target": 2}))
