"""Guided backpropagation and deconvolution: every form of a rectifier is the rectifier."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pellucid._core.rules import DECONVOLUTION, GUIDED, modified_gradients
from pellucid.errors import InvalidValueError, UnsupportedModelError

from .test_forms import FORMS
from .test_safety import Scaled

FIRST, SECOND = torch.randn(6, 5, dtype=torch.float64), torch.randn(3, 6, dtype=torch.float64)
TABLES = pytest.mark.parametrize("table", [GUIDED, DECONVOLUTION], ids=["guided", "deconvolution"])


def through(rectifier, table, x):
    return modified_gradients(lambda z: rectifier(z @ FIRST.T) @ SECOND.T, (x,), lambda y: y[:, 0], table)


def by_hand(table, x, slope):
    arriving = SECOND[0].expand(len(x), -1).clamp_min(0)
    return (arriving * slope if table is GUIDED else arriving) @ FIRST


@TABLES
@pytest.mark.parametrize("number", [k for k in range(len(FORMS["relu"]) - 1) if k != 12])
def test_every_form_of_relu(table, number):
    x = torch.randn(4, 5)
    result = through(FORMS["relu"][number], table, x)
    expected = by_hand(table, x, (x @ FIRST.T > 0).double())
    torch.testing.assert_close(result.gradients[0], expected, rtol=0, atol=1e-14)
    assert result.certificate.count(table.name) == 1


@TABLES
@pytest.mark.parametrize("name", ["silu", "gelu", "gelu_tanh", "leaky"])
def test_smooth_and_leaky_rectifiers_by_their_slope(table, name):
    x = torch.randn(4, 5)
    h = (x @ FIRST.T).requires_grad_()
    slope = torch.autograd.grad(FORMS[name][0](h).sum(), h)[0].clamp_min(0)
    for form in FORMS[name]:
        result = through(form, table, x)
        torch.testing.assert_close(result.gradients[0], by_hand(table, x, slope), rtol=1e-9, atol=1e-12)
        assert result.certificate.count(table.name) == 1


@TABLES
@pytest.mark.parametrize(
    "rectifier",
    [
        F.elu,
        F.softplus,
        F.mish,
        F.selu,
        F.relu6,
        F.hardswish,
        lambda h: F.threshold(h, 0.1, 0),
        lambda h: F.hardtanh(h, 0.0, 6.0),
    ],
)
def test_other_rectifiers_are_counted(table, rectifier):
    assert through(rectifier, table, torch.randn(4, 5)).certificate.count(table.name) == 1


@TABLES
@pytest.mark.parametrize("function", [torch.tanh, torch.sigmoid, torch.abs, torch.square, lambda h: h.clamp(-1, 1)])
def test_other_functions_keep_their_gradient(table, function):
    x = torch.randn(4, 5)
    leaf = x.clone().requires_grad_()
    plain = torch.autograd.grad((function(leaf @ FIRST.T) @ SECOND.T)[:, 0].sum(), leaf)[0]
    result = through(function, table, x)
    torch.testing.assert_close(result.gradients[0], plain)
    assert result.certificate.count(table.name) == 0


@TABLES
def test_recurrent_rectifier_is_opened(table):
    model = nn.RNN(5, 4, nonlinearity="relu", batch_first=True)
    result = modified_gradients(lambda x: model(x)[0], (torch.randn(2, 3, 5),), lambda y: y.sum((1, 2)), table)
    assert result.certificate.count(table.name) == 3


@TABLES
@pytest.mark.parametrize("rectifier", [F.relu, F.relu6, F.gelu, nn.LeakyReLU(0.2)])
def test_compiled_models_are_those_that_were_compiled(table, rectifier):
    """And none of the forms falls back to the plain gradient."""
    net = nn.Sequential(nn.Linear(5, 6), Applies(rectifier), nn.Linear(6, 3))
    x = 2 * torch.randn(4, 5)
    expected = modified_gradients(net, (x,), lambda y: y[:, 0], table).gradients[0]
    found = modified_gradients(torch.compile(net, backend="eager"), (x,), lambda y: y[:, 0], table).gradients[0]
    assert torch.equal(found, expected)
    leaf = x.clone().requires_grad_()
    assert (torch.autograd.grad(net(leaf)[:, 0].sum(), leaf)[0] - expected).abs().max() > 1e-3


class Applies(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@TABLES
def test_custom_functions_are_refused(table):
    with pytest.raises(UnsupportedModelError, match="Scaled"):
        modified_gradients(lambda x: Scaled.apply(x.relu()) * 2, (torch.randn(3, 5),), lambda y: y.sum(1), table)


def test_tables_of_pairs_are_refused():
    from pellucid._core.rules.deeplift_tables import RESCALE_TABLE

    with pytest.raises(InvalidValueError, match="deep_lift_gradients"):
        modified_gradients(torch.tanh, (torch.randn(3, 5),), lambda y: y.sum(1), RESCALE_TABLE)


def test_captum_agrees_on_modules():
    captum = pytest.importorskip("captum.attr")
    import warnings

    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
    x = torch.randn(3, 2, 6, 6)
    for method, table in ((captum.GuidedBackprop, GUIDED), (captum.Deconvolution, DECONVOLUTION)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = method(model).attribute(x, target=1)
        ours = modified_gradients(model, (x,), lambda y: y[:, 1], table).gradients[0]
        torch.testing.assert_close(ours, theirs.detach(), rtol=0, atol=1e-14)


HAND_WRITTEN = {
    "mean with magnitude": lambda h: (h + h.abs()) / 2,
    "half the sum": lambda h: 0.5 * (h + h.abs()),
    "without its negative part": lambda h: h - h.clamp(max=0),
    "mask": lambda h: h * (h > 0),
    "where": lambda h: torch.where(h > 0, h, torch.zeros_like(h)),
    "scaled mask": lambda h: 3 * h * (h > 0) / 3,
}
OTHERS = {
    "square": lambda h: h * h,
    "cube": lambda h: h * h * h,
    "magnitude": lambda h: h * h.sign(),
    "soft magnitude": lambda h: h * h.tanh(),
    "bent line": lambda h: h + h * h,
}


@pytest.mark.parametrize("size", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("name", HAND_WRITTEN)
def test_rectifiers_written_by_hand_are_found_whatever_the_size_of_values(name, size):
    x = size * torch.tensor([[1.0, -2.0, 3.0, -0.5]])
    weights = torch.tensor([1.0, 1.0, -1.0, -1.0])
    found = modified_gradients(lambda v: HAND_WRITTEN[name](v * 1.0) @ weights, (x,), lambda y: y, GUIDED)
    torch.testing.assert_close(found.gradients[0], torch.tensor([[1.0, 0.0, 0.0, 0.0]]), rtol=1e-12, atol=1e-12)
    assert found.certificate.count(GUIDED.name)


@pytest.mark.parametrize("size", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("name", OTHERS)
def test_other_functions_are_not_taken_for_rectifiers(name, size):
    x = size * torch.tensor([[1.0, -2.0, 3.0, -0.5]])
    found = modified_gradients(lambda v: OTHERS[name](v * 1.0).sum(1), (x,), lambda y: y, GUIDED)
    assert not found.certificate.count(GUIDED.name)


@TABLES
def test_writing_over_a_rectifiers_result_changes_nothing(table):
    """The rule needs the result as it was, and the model has written into it since."""
    x = torch.randn(4, 5, dtype=torch.float64)

    def run(rectifier, shift):
        return modified_gradients(
            lambda z: shift(rectifier(z @ FIRST.T)) ** 3 @ SECOND.T, (x,), lambda y: y[:, 0], table
        )

    expected = run(torch.relu, lambda y: y - 2).gradients[0]
    for rectifier in (torch.relu, torch.relu_):
        assert torch.equal(run(rectifier, lambda y: y.sub_(2)).gradients[0], expected)
