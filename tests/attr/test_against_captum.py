"""Agreement with Captum in float64, wherever Captum is right."""

import functools
import warnings

import pytest
import torch
from torch import nn

from pellucid import attr
from tests.models import DOUBLE, TwoInputs, cnn, mlp

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


@functools.cache
def questions():
    g = torch.Generator().manual_seed(9)
    x = torch.randn(3, 5, dtype=DOUBLE, generator=g)
    image = torch.randn(2, 2, 8, 8, dtype=DOUBLE, generator=g)
    other = torch.rand(3, 2, 2, dtype=DOUBLE, generator=g)
    base = torch.randn(3, 5, dtype=DOUBLE, generator=g)
    return [
        (mlp(), {"inputs": x, "target": 1}, base),
        (mlp(), {"inputs": x, "target": [0, 2, 1]}, base[:1]),
        (mlp(), {"inputs": (x,), "target": torch.tensor([0, 2, 1])}, (base,)),
        (lambda v: mlp()(v).sum(1), {"inputs": x}, 0.25),
        (lambda v: mlp()(v).unsqueeze(2) * torch.arange(1.0, 5.0), {"inputs": x, "target": (1, 2)}, base),
        (
            lambda v: mlp()(v).unsqueeze(2).expand(3, 3, 2) if len(v) == 3 else mlp()(v).unsqueeze(2).repeat(1, 1, 2),
            {"inputs": x, "target": [(0, 1), (1, 0), (2, 1)]},
            base,
        ),
        (cnn(), {"inputs": image, "target": 2}, 0.1),
        (TwoInputs(), {"inputs": (x, other), "target": 3, "additional_forward_args": base[:, 0]}, (base, 0.5)),
        (TwoInputs(), {"inputs": (x, other), "target": 0, "additional_forward_args": (2.5,)}, (0.1, other[:1])),
    ]


QUESTIONS = pytest.mark.parametrize("question", range(9))


@QUESTIONS
@pytest.mark.parametrize("name", ["Saliency", "InputXGradient"])
def test_gradients(name, question):
    forward, call, _ = questions()[question]
    assert equal(*both(name, forward, call))


@QUESTIONS
@pytest.mark.parametrize("method", ["riemann_left", "riemann_right", "riemann_middle", "gausslegendre"])
@pytest.mark.filterwarnings("ignore::pellucid.errors.ConvergenceWarning")
def test_integrated_gradients(method, question):
    """Captum's step sizes are float32, so it agrees only to 1e-7."""
    forward, call, base = questions()[question]
    theirs, ours = both(
        "IntegratedGradients", forward, call, baselines=base, n_steps=20, method=method, return_convergence_delta=True
    )
    assert equal(theirs[0], ours[0], 1e-6)
    assert torch.allclose(theirs[1], ours[1], atol=1e-5)


@pytest.mark.filterwarnings("ignore::pellucid.errors.ConvergenceWarning")
def test_a_deliberate_difference_trapezoid():
    """Captum's trapezoid weights sum to (n - 1) / n; ours to one."""
    forward, call, base = questions()[0]
    theirs, ours = both("IntegratedGradients", forward, call, baselines=base, n_steps=20, method="riemann_trapezoid")
    assert equal(theirs * 20 / 19, ours, 1e-6)


@QUESTIONS
def test_convergence_delta(question):
    forward, call, base = questions()[question]
    keep = {k: v for k, v in call.items() if k != "inputs"}
    attributions = call["inputs"]
    theirs = captum.IntegratedGradients(forward).compute_convergence_delta(attributions, base, call["inputs"], **keep)
    ours = attr.IntegratedGradients(forward).compute_convergence_delta(attributions, base, call["inputs"], **keep)
    assert equal(theirs, ours)


def test_noise_tunnel_without_noise():
    forward, call, _ = questions()[0]
    for nt_type in ("smoothgrad", "smoothgrad_sq", "vargrad"):
        theirs = captum.NoiseTunnel(captum.Saliency(forward)).attribute(**call, nt_type=nt_type, stdevs=1e-12)
        ours = attr.NoiseTunnel(attr.Saliency(forward)).attribute(**call, nt_type=nt_type, stdevs=1e-12)
        assert equal(theirs, ours, 1e-8)


@pytest.mark.filterwarnings("ignore::pellucid.errors.SamplingWarning")
def test_gradient_shap_with_one_baseline_on_an_additive_model():
    """Linear models leave nothing to chance, so samples cannot differ."""
    x, base = questions()[0][1]["inputs"], questions()[0][2][:1]
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


NAMES = [
    "DeepLift",
    "DeepLiftShap",
    "Deconvolution",
    "GradientShap",
    "GuidedBackprop",
    "InputXGradient",
    "IntegratedGradients",
    "LRP",
    "NoiseTunnel",
    "Saliency",
]


@pytest.mark.parametrize("name", NAMES)
def test_same_names_and_arguments(name):
    """Every argument of theirs is one of ours, at the same place and with the same default."""
    import inspect

    for member in ("__init__", "attribute"):
        theirs = inspect.signature(getattr(getattr(captum, name), member)).parameters
        ours = inspect.signature(getattr(getattr(attr, name), member)).parameters
        for place, (argument, parameter) in enumerate(theirs.items()):
            assert argument in ours
            assert ours[argument].default == parameter.default
            if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
                assert list(ours)[place] == argument
    assert getattr(captum, name).get_name is not None


ACTIVATIONS = [nn.ReLU, nn.Tanh, nn.Sigmoid, nn.ELU, nn.LeakyReLU, nn.Softplus]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_deep_lift_where_captum_has_a_rule(activation):
    x, base = questions()[0][1]["inputs"], questions()[0][2]
    model = mlp(activation=activation)
    for baselines in (base, base[:1], 0.3):
        theirs, ours = both(
            "DeepLift", model, {"inputs": x, "target": [0, 2, 1]}, baselines=baselines, return_convergence_delta=True
        )
        assert equal(theirs[0], ours[0], 1e-9)
        assert ours[1].abs().max() < 1e-12


def test_deep_lift_shap_where_captum_has_a_rule():
    x, rows = questions()[0][1]["inputs"], torch.randn(4, 5, dtype=DOUBLE)
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
    x, base = questions()[0][1]["inputs"], questions()[0][2]
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

    x = questions()[0][1]["inputs"]
    assert equal(*both(name, mlp(activation=Separate), {"inputs": x, "target": [0, 2, 1]}))
    image = questions()[6][1]["inputs"]
    convolutional = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.ReLU(inplace=inplace), nn.MaxPool2d(2), nn.Conv2d(4, 3, 3), nn.ReLU(), nn.Flatten()
    ).to(DOUBLE)
    assert equal(*both(name, convolutional, {"inputs": image, "target": 2}))
