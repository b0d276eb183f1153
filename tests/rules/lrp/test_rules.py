"""Each rule equals its definition on explicit matrices, in every kind of layer."""

import contextlib

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pellucid._core.rules.api import Choices
from pellucid._core.rules.lrp import relevances
from pellucid._core.rules.lrp_composites import Assign, Composite
from pellucid._core.rules.lrp_rules import (
    AlphaBeta,
    Epsilon,
    Flat,
    Gamma,
    Norm,
    Pass,
    PropagationRule,
    WSquare,
    ZBox,
    ZPlus,
)
from pellucid._core.rules.lrp_site import stabilised
from pellucid._core.rules.table import Rule
from pellucid.errors import InvalidTypeError, InvalidValueError, UnsupportedModelError
from tests.rules.lrp import definitions as define

DOUBLE = torch.float64

RULES = {
    "epsilon": (Epsilon(0.1), lambda *a: define.epsilon(*a, 0.1)),
    "norm": (Norm(), lambda *a: define.epsilon(*a, 0.0)),
    "gamma": (Gamma(0.7), lambda *a: define.gamma(*a, 0.7)),
    "alpha2beta1": (AlphaBeta(2.0, 1.0), lambda *a: define.alpha_beta(*a, 2.0, 1.0)),
    "alpha1.5beta0.5": (AlphaBeta(1.5, 0.5), lambda *a: define.alpha_beta(*a, 1.5, 0.5)),
    "zplus": (ZPlus(), define.z_plus),
    "zbox": (ZBox(-2.0, 3.0), lambda *a: define.z_box(*a, -2.0, 3.0)),
    "wsquare": (WSquare(), define.w_square),
    "flat": (Flat(), define.flat),
}


class Matmul(nn.Module):
    def __init__(self, form):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, 5, dtype=DOUBLE))
        self.bias = nn.Parameter(torch.randn(5, dtype=DOUBLE))
        self.form = form

    def forward(self, x):
        match self.form:
            case "addmm":
                return torch.addmm(self.bias, x, self.weight, beta=0.5, alpha=-2.0)
            case "addmm, doubled":
                return torch.addmm(self.bias, x, self.weight, alpha=2)
            case "addmm, plain":
                return torch.addmm(self.bias, x, self.weight)
            case "@":
                return x @ self.weight
            case "einsum":
                return torch.einsum("bi,io->bo", x, self.weight)
            case "keywords":
                return F.linear(input=x, weight=self.weight.t(), bias=self.bias)


LAYERS = {
    "linear": (lambda: nn.Linear(6, 5), (6,)),
    "linear without bias": (lambda: nn.Linear(6, 5, bias=False), (6,)),
    "linear over tokens": (lambda: nn.Linear(3, 2), (4, 3)),
    "conv1d": (lambda: nn.Conv1d(2, 3, 3, padding=1, stride=2), (2, 7)),
    "conv2d": (lambda: nn.Conv2d(2, 4, 3, padding=1), (2, 5, 4)),
    "conv2d, groups and dilation": (lambda: nn.Conv2d(2, 4, 2, groups=2, dilation=2), (2, 5, 4)),
    "conv transposed": (lambda: nn.ConvTranspose2d(2, 3, 3, stride=2), (2, 3, 3)),
    "addmm": (lambda: Matmul("addmm"), (6,)),
    "addmm, doubled": (lambda: Matmul("addmm, doubled"), (6,)),
    "addmm, plain": (lambda: Matmul("addmm, plain"), (6,)),
    "matmul": (lambda: Matmul("@"), (6,)),
    "einsum": (lambda: Matmul("einsum"), (6,)),
    "keywords": (lambda: Matmul("keywords"), (6,)),
}


def examples(shape, seed):
    generator = torch.Generator().manual_seed(seed)
    x = (torch.rand(3, *shape, dtype=DOUBLE, generator=generator) - 0.4) * 2
    x[torch.rand(x.shape, generator=generator) < 0.2] = 0  # zeros are where gradients cannot carry relevance
    return x


def curved(y):
    """An explained output that is not linear in the layer's results: sum of y^2, with relevance y * 2y."""
    return (y**2).flatten(1).sum(1)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("rule", RULES)
def test_one_layer(rule, layer):
    torch.manual_seed(3)
    build, shape = LAYERS[layer]
    module = build().double()
    x = examples(shape, 5)
    built, definition = RULES[rule]
    found = relevances(module, (x,), curved, Composite("one", (Assign(built),)))
    weight, bias = define.dense(module, shape)
    for example in range(len(x)):
        flat = x[example].flatten()
        y = weight @ flat + bias
        expected = definition(flat, weight, bias, y * y)  # x ** 2 passes relevance y^2
        torch.testing.assert_close(found.relevances[0][example].flatten(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("rule", ["epsilon", "gamma", "alpha2beta1", "zplus", "flat", "wsquare"])
@pytest.mark.parametrize("activation", [nn.ReLU(), nn.ReLU(inplace=True), nn.GELU(), nn.Tanh()])
def test_three_layers(rule, activation):
    torch.manual_seed(4)
    model = nn.Sequential(nn.Linear(6, 8), activation, nn.Linear(8, 7), activation, nn.Linear(7, 3)).double()
    x = examples((6,), 6)
    built, definition = RULES[rule]
    found = relevances(model, (x,), lambda y: y[:, 2], Composite("all", (Assign(built),)), audit=True)
    assert abs(found.audit.elsewhere) < 1e-10
    for example in range(len(x)):
        value, below = x[example], []
        for layer in (model[0], model[2], model[4]):
            below.append(value)
            value = activation(layer(value))
        relevance = model(x[example]) * torch.tensor([0, 0, 1])
        for layer, value in reversed(list(zip((model[0], model[2], model[4]), below, strict=True))):
            relevance = definition(value, layer.weight, layer.bias, relevance)
        torch.testing.assert_close(found.relevances[0][example], relevance, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rule", ["zbox", "wsquare", "flat"])
def test_first_layer_rules_reach_zeros_through_views_and_padding(rule):
    torch.manual_seed(4)
    layer = nn.Linear(9, 4).double()
    built, definition = RULES[rule]

    def net(x):  # x: (N, 2, 4)
        return layer(F.pad(x.transpose(1, 2).reshape(-1, 8)[:, :7].flip(1), (1, 1)))

    x = examples((2, 4), 9)
    composite = Composite("first", (Assign(built, first=True), Assign(Epsilon())))
    found = relevances(net, (x,), curved, composite, audit=True)
    for example in range(len(x)):
        v = F.pad(x[example].t().reshape(8)[:7].flip(0), (1, 1))
        expected = definition(v, layer.weight, layer.bias, layer(v) ** 2)[1:-1].flip(0)
        expected = F.pad(expected, (0, 1)).reshape(4, 2).t()
        torch.testing.assert_close(found.relevances[0][example], expected, rtol=1e-6, atol=1e-6)
    assert abs(found.audit.elsewhere) < 1e-10 * found.audit.explained + 1e-10


def test_paths_to_the_inputs_are_walked_once():
    """Forty times two ways from one value to the next make 10^12 paths."""
    torch.manual_seed(4)
    layer = nn.Linear(4, 3).double()

    def net(x):
        for _ in range(40):
            x = torch.cat([x[:, :2], x[:, 2:]], 1)
        return layer(x)

    x = examples((4,), 9)
    composite = Composite("first", (Assign(WSquare(), first=True),))
    found = relevances(net, (x,), curved, composite).relevances[0]
    torch.testing.assert_close(found, relevances(layer, (x,), curved, composite).relevances[0])


def test_an_input_used_twice_gets_relevance_from_both_uses():
    torch.manual_seed(0)
    first, second = nn.Linear(5, 3).double(), nn.Linear(5, 3).double()
    x = examples((5,), 2)
    found = relevances(lambda x: first(x) + second(x), (x,), lambda y: y[:, 1], Composite("", (Assign(Flat()),)))
    expected = (first(x) + second(x))[:, 1:2] / 5
    torch.testing.assert_close(found.relevances[0], expected.expand(3, 5).detach())


def test_relevance_of_inner_zeros_is_refused_with_line_and_remedy():
    first, second = nn.Linear(5, 6).double(), nn.Linear(6, 2).double()
    with pytest.raises(UnsupportedModelError, match=r"(?s)Flat\(\) at 'linear'.*MulBackward0.*ZPlus, Gamma"):
        relevances(
            lambda x: second(0.5 * F.relu(first(x))),
            (examples((5,), 2),),
            lambda y: y[:, 1],
            Composite("", (Assign(Flat()),)),
        )


def test_a_layer_takes_no_relevance_of_its_zeros():
    """What it was sent it would drop: a rule for layers looks at gradients only."""
    first, second = nn.Linear(5, 6).double(), nn.Linear(6, 2).double()
    with torch.no_grad():
        first.weight[2], first.bias[2] = 0.0, 0.0
    composite = Composite("", (Assign(Epsilon(), first=True), Assign(Flat())))
    with pytest.raises(UnsupportedModelError, match=r"(?s)Flat\(\) at 'linear'.*values that are zero"):
        relevances(lambda x: second(first(x)), (examples((5,), 2),), lambda y: y[:, 1], composite)


def test_scaled_inputs_are_no_selection():
    layer = nn.Linear(4, 2).double()
    x = torch.tensor([[0.0, 1, 2, 3]], dtype=DOUBLE)
    with pytest.raises(UnsupportedModelError, match="MulBackward0"):
        relevances(lambda x: layer(3 * x), (x,), lambda y: y[:, 1], Composite("", (Assign(WSquare()),)))


def test_denominators_move_away_from_zero_along_themselves():
    real = torch.tensor([2.0, -2.0, 0.0], dtype=DOUBLE)
    torch.testing.assert_close(stabilised(real, 0.5), torch.tensor([2.5, -2.5, 0.5], dtype=DOUBLE))
    phase = torch.polar(torch.ones(3, dtype=DOUBLE), torch.tensor([0.3, 2.0, -2.5], dtype=DOUBLE))
    torch.testing.assert_close(stabilised(2 * phase, 0.5), 2.5 * phase)
    torch.testing.assert_close(stabilised(0 * phase, 0.5), torch.full_like(phase, 0.5))


def test_pass_keeps_relevance_also_at_zeros():
    x = torch.tensor([[0.0, 1.0, -2.0]], dtype=DOUBLE)
    layer = nn.Linear(3, 3).double()
    found = relevances(layer, (x,), curved, Composite("", (Assign(Pass()),)))
    torch.testing.assert_close(found.relevances[0], layer(x).detach() ** 2)
    with pytest.raises(UnsupportedModelError, match="element by element"):
        relevances(nn.Linear(3, 2).double(), (x,), curved, Composite("", (Assign(Pass()),)))


def test_a_box_that_does_not_hold_the_values_is_refused():
    with pytest.raises(InvalidValueError, match="lie outside"):
        relevances(
            nn.Linear(3, 2).double(),
            (torch.ones(1, 3, dtype=DOUBLE),),
            lambda y: y[:, 1],
            Composite("", (Assign(ZBox(0.0, 0.5)),)),
        )


@pytest.mark.parametrize("size", [1e-4, 1.0, 1e4])
def test_rounding_beside_a_box_is_forgiven_whatever_its_size(size):
    layer, composite = nn.Linear(3, 2).double(), Composite("", (Assign(ZBox(0.0, size)),))
    for beside, accepted in ((1e-7, True), (1e-5, False)):
        x = torch.full((1, 3), size * (1 + beside), dtype=DOUBLE)
        with contextlib.nullcontext() if accepted else pytest.raises(InvalidValueError, match="lie outside"):
            relevances(layer, (x,), lambda y: y[:, 1], composite)


def test_a_box_of_tensors():
    torch.manual_seed(0)
    layer, x = nn.Linear(3, 2).double(), torch.rand(2, 3, dtype=DOUBLE)
    low, high = torch.tensor([-1.0, 0.0, -2.0], dtype=DOUBLE), torch.tensor([1.0, 2.0, 1.0], dtype=DOUBLE)
    found = relevances(layer, (x,), lambda y: y[:, 1], Composite("", (Assign(ZBox(low, high)),)))
    z = x * layer.weight[1] - low * layer.weight[1].clamp(min=0) - high * layer.weight[1].clamp(max=0)
    torch.testing.assert_close(found.relevances[0], (z / z.sum(1, keepdim=True) * layer(x)[:, 1:]).detach())


def test_parameters_out_of_range_are_refused():
    for wrong in (lambda: Epsilon(-1.0), lambda: Gamma(-0.1), lambda: AlphaBeta(2.0, 0.0)):
        with pytest.raises(InvalidValueError):
            wrong()
    with pytest.raises(InvalidTypeError):
        Assign("epsilon")


def test_a_rule_of_the_users_own():
    class Halved(PropagationRule):
        def propagate(self, site, gradient):
            return site.pull(gradient) / 2

    torch.manual_seed(0)
    layer, x = nn.Linear(3, 2, bias=False).double(), torch.rand(2, 3, dtype=DOUBLE)
    found = relevances(layer, (x,), lambda y: y[:, 1], Composite("", (Assign(Halved()),)))
    torch.testing.assert_close(found.delta, found.outputs / 2)


def test_half_precision_rules_stay_finite():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).to(torch.bfloat16)
    x = torch.rand(2, 6, dtype=torch.bfloat16)
    for rule, _ in RULES.values():
        first = Composite("", (Assign(rule, first=True), Assign(Epsilon())))
        assert relevances(model, (x,), lambda y: y[:, 1], first).relevances[0].isfinite().all()


@pytest.mark.parametrize("name", ["epsilon", "gamma", "alpha2beta1", "zplus", "wsquare", "zbox"])
def test_batch_norm_is_a_layer_of_a_diagonal_matrix(name):
    """An elementwise weight and bias are a dense layer whose matrix has nothing beside its diagonal."""
    rule, _ = RULES[name]
    torch.manual_seed(4)
    norm = nn.BatchNorm1d(3).double().eval()
    norm.running_mean.copy_(torch.tensor([0.3, -0.5, 0.1]))
    norm.running_var.copy_(torch.tensor([0.5, 2.0, 1.5]))
    norm.weight.data.copy_(torch.tensor([1.2, -0.7, 0.4]))
    norm.bias.data.copy_(torch.tensor([0.6, 0.2, -0.9]))
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    layer = nn.Linear(3, 3).double()
    layer.weight.data.copy_(torch.diag(scale.detach()))
    layer.bias.data.copy_((norm.bias - scale * norm.running_mean).detach())
    x = torch.randn(4, 3, dtype=DOUBLE)
    select = lambda y: y @ torch.tensor([1.0, -2.0, 0.5], dtype=DOUBLE)  # noqa: E731
    composite = Composite("one rule", (Assign(rule, "batch_norm"), Assign(rule, "dense")))
    found = relevances(norm, (x,), select, composite).relevances[0]
    dense = relevances(layer, (x,), select, composite).relevances[0]
    assert torch.allclose(found, dense, atol=1e-10)


@pytest.mark.parametrize("function", [torch.xlogy, torch.fmod])
def test_a_function_of_two_explained_values_has_no_rule(function):
    """Both get gradient times value, and the certificate names the function."""
    generator = torch.Generator().manual_seed(5)
    x = torch.rand(3, 4, dtype=DOUBLE, generator=generator) + 0.5
    first, second = torch.rand(2, 4, 3, dtype=DOUBLE, generator=generator)

    def net(v):
        return function(v @ first, v @ second)

    found = relevances(net, (x,), lambda y: y[:, 1], Composite("", (Assign(Epsilon(0.0)),)))
    leaf = x.clone().requires_grad_()
    gradient = torch.autograd.grad(net(leaf)[:, 1].sum(), leaf)[0]
    torch.testing.assert_close(found.relevances[0], gradient * x)
    assert [entry.split()[0] for entry in found.certificate.unknown] == [function.__name__]


def test_an_override_of_the_users_goes_first():
    """Its rule is the one that is used, and where it has none, the method's is."""

    def override(operation, kind, modules):
        return Rule("doubled", lambda _: lambda gradients: (2 * gradients[0],)) if operation == "tanh" else None

    torch.manual_seed(1)
    layer, x = nn.Linear(4, 3).double(), examples((4,), 6)
    composite = Composite("", (Assign(Epsilon(0.1)),))
    found = relevances(lambda v: torch.tanh(layer(v)), (x,), curved, composite, choices=Choices(override=override))
    gradient = 2 * torch.tanh(layer(x))  # the square passes its relevance on: y^2 is y times y, and doubled
    relevance = torch.stack(
        [define.epsilon(v, layer.weight, layer.bias, g * layer(v), 0.1) for v, g in zip(x, gradient, strict=True)]
    )
    assert "doubled" in {row.rule for row in found.certificate.operations}
    torch.testing.assert_close(found.relevances[0], relevance.detach())
