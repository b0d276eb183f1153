"""The same net gets the same relevance however it is written, in threads, and leaves no trace."""

import copy
import threading

import pytest
import torch
import torch.nn.functional as F
from captum.attr._utils import lrp_rules as captum_rules
from torch import nn

from pellucid._core.rules import NATIVE, Choices, Rule, by_module, relevances
from pellucid._core.rules.lrp_composites import (
    CPLRP,
    Assign,
    AttnLRP,
    Composite,
    EpsilonAlpha2Beta1,
    EpsilonGammaBox,
    EpsilonPlus,
)
from pellucid._core.rules.lrp_named import EpsilonRule, GammaRule
from pellucid._core.rules.lrp_rules import Epsilon, Flat, Gamma, ZPlus
from pellucid.errors import UnsupportedModelError

DOUBLE = torch.float64
COMPOSITES = [EpsilonPlus(), EpsilonAlpha2Beta1(), EpsilonGammaBox(-5.0, 5.0), AttnLRP(), CPLRP()]


class Forms(nn.Module):
    """Two convolutions with rectifiers, pooling and a dense layer, in four forms."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(2, 6, 3), nn.Conv2d(6, 6, 3)
        self.out = nn.Linear(6, 3)
        self.act, self.in_place = nn.ReLU(), nn.ReLU(inplace=True)
        self.first, self.second = nn.ReLU(), nn.ReLU()
        self.form = "module"

    def forward(self, x):
        one, two, out = self.one, self.two, self.out
        match self.form:
            case "module":
                h = self.second(two(self.first(one(x))))
            case "reused":
                h = self.act(two(self.act(one(x))))
            case "in place":
                h = self.in_place(two(self.in_place(one(x))))
            case "functional":
                h = F.conv2d(x, one.weight, one.bias).relu_()
                h = torch.relu(torch.conv2d(h, two.weight, two.bias))
            case "by hand":
                h = one(x)
                h = two(h * (h > 0))
                h = torch.where(h > 0, h, torch.zeros_like(h))
        if self.form == "functional":
            return torch.addmm(out.bias, h.mean((2, 3)), out.weight.t())
        return out(F.adaptive_avg_pool2d(h, 1).flatten(1))


def images(count=3):
    return torch.randn(count, 2, 6, 6, dtype=DOUBLE, generator=torch.Generator().manual_seed(3))


def third(y):
    return y[:, 2]


@pytest.mark.parametrize("composite", COMPOSITES, ids=lambda c: c.name)
@pytest.mark.parametrize("form", ["reused", "in place", "functional", "by hand"])
def test_forms_agree(form, composite):
    torch.manual_seed(5)
    model = Forms().double()
    expected = relevances(model, (images(),), third, composite).relevances[0]
    model.form = form
    found = relevances(model, (images(),), third, composite).relevances[0]
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_a_view_of_what_is_written_later_is_the_input_of_a_layer():
    torch.manual_seed(5)
    first, second = nn.Linear(5, 6).double(), nn.Linear(4, 3).double()

    def view(x):
        h = first(x)
        part = h[:, :4]
        h.relu_()
        return second(part)

    x = torch.randn(3, 5, dtype=DOUBLE)
    composite = Composite("", (Assign(Gamma(0.5)),))
    found = relevances(view, (x,), third, composite)
    expected = relevances(lambda v: second(F.relu(first(v))[:, :4]), (x,), third, composite)
    torch.testing.assert_close(found.relevances[0], expected.relevances[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("composite", COMPOSITES, ids=lambda c: c.name)
def test_a_batch_equals_its_examples(composite):
    torch.manual_seed(5)
    model = Forms().double()
    together = relevances(model, (images(),), third, composite).relevances[0]
    alone = [relevances(model, (image[None],), third, composite).relevances[0] for image in images()]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-12, atol=1e-12)


class Norms(nn.Module):
    def __init__(self, kind, by_hand):
        super().__init__()
        self.kind, self.by_hand = kind, by_hand
        self.inner, self.outer = nn.Linear(4, 6), nn.Linear(6, 3)
        self.weight, self.bias = nn.Parameter(torch.rand(6) + 0.5), nn.Parameter(torch.randn(6))

    def norm(self, x):
        match self.kind, self.by_hand:
            case "layer", False:
                return F.layer_norm(x, (6,), self.weight, self.bias, 1e-5)
            case "layer", True:
                x = x - x.mean(-1, keepdim=True)
                return x / torch.sqrt((x**2).mean(-1, keepdim=True) + 1e-5) * self.weight + self.bias
            case "layer, of var", _:
                spread = x.var(-1, keepdim=True, unbiased=False)
                return self.weight * ((x - x.mean(-1, keepdim=True)) * (spread + 1e-5) ** -0.5) + self.bias
            case "rms", False:
                return F.rms_norm(x, (6,), self.weight, 1e-5)
            case "rms", True:
                return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5))
            case "unit", False:
                return F.normalize(x, dim=-1)
            case "unit", True:
                return x * (1 / x.norm(dim=-1, keepdim=True))
            case "group", False:
                return F.group_norm(x, 2, self.weight, self.bias, 1e-5)
            case "group", True:
                x = x.reshape(-1, 2, 3)
                x = (x - x.mean(2, keepdim=True)) / (x.var(2, keepdim=True, correction=0) + 1e-5).sqrt()
                return x.reshape(-1, 6) * self.weight + self.bias

    def forward(self, x):
        return self.outer(self.norm(self.inner(x)))


@pytest.mark.parametrize("kind", ["layer", "rms", "unit", "group", "layer, of var"])
def test_norms_by_hand_equal_norms(kind):
    x = torch.randn(3, 4, dtype=DOUBLE, generator=torch.Generator().manual_seed(3))
    found = []
    for by_hand in (False, True):
        torch.manual_seed(2)
        model = Norms("layer" if kind == "layer, of var" and not by_hand else kind, by_hand).double()
        found.append(relevances(model, (x,), third, AttnLRP(), audit=True))
    torch.testing.assert_close(found[0].relevances[0], found[1].relevances[0], rtol=1e-9, atol=1e-10)
    assert max(abs(one.audit.elsewhere) for one in found) < 1e-10


def test_a_norm_is_linear_with_a_constant_scale():
    torch.manual_seed(2)
    model = Norms("layer", False).double()
    x = torch.randn(3, 4, dtype=DOUBLE)

    def stopped(x):
        h = model.inner(x)
        h = (h - h.mean(-1, keepdim=True)) / (h.var(-1, keepdim=True, correction=0) + 1e-5).sqrt().detach()
        return model.outer(h * model.weight + model.bias)

    leaf = x.clone().requires_grad_()
    expected = leaf * torch.autograd.grad(stopped(leaf)[:, 2].sum(), leaf)[0]
    found = relevances(model, (x,), third, Composite("z"))
    torch.testing.assert_close(found.relevances[0], expected.detach(), rtol=1e-9, atol=1e-10)


GATES = {
    "sigmoid": lambda x, g: torch.sigmoid(g) * x,
    "sigmoid, in place": lambda x, g: x * g.clone().sigmoid_(),
    "sigmoid, by hand": lambda x, g: x / (1 + torch.exp(-g)),
    "hardsigmoid": lambda x, g: F.hardsigmoid(g.clone(), inplace=True) * x,
    "complement": lambda x, g: (1 - torch.sigmoid(g).unsqueeze(1).squeeze(1)) * x,
    "two gates": lambda x, g: torch.sigmoid(g) * torch.exp(-g) * x,
    "glu": lambda x, g: F.glu(torch.cat([x, g], 1), 1),
}


@pytest.mark.parametrize("gate", GATES)
def test_gates_take_nothing_from_signals(gate):
    x, g = torch.randn(2, 3, 5, dtype=DOUBLE, generator=torch.Generator().manual_seed(8))
    found = relevances(GATES[gate], (x, g), lambda y: y.sum(1), Composite("z"))
    torch.testing.assert_close(found.relevances[0], GATES[gate](x, g))
    assert not found.relevances[1].any()


def test_a_gate_alone_passes_relevance():
    x = torch.tensor([[1.0, -2.0]], dtype=DOUBLE)
    found = relevances(torch.sigmoid, (x,), lambda y: y.sum(1), Composite("z"))
    torch.testing.assert_close(found.relevances[0], torch.sigmoid(x))


def test_products_of_signals_share_equally():
    one, two, three = torch.randn(3, 2, 4, dtype=DOUBLE, generator=torch.Generator().manual_seed(8))
    found = relevances(lambda a, b, c: torch.einsum("bi,bi,bi->bi", a, b, c), (one, two, three), third, Composite("z"))
    for part in found.relevances:
        torch.testing.assert_close(part[:, 2], (one * two * three)[:, 2] / 3)
    total = relevances(
        torch.addmm,
        (one[:, :2], two[:, :2], three[:, :2]),
        lambda y: y.sum(1),
        Composite("z"),
    )
    torch.testing.assert_close(total.relevances[0], one[:, :2])
    torch.testing.assert_close(total.relevances[1].sum(), (two[:, :2] @ three[:, :2]).sum() / 2)
    blended = relevances(torch.lerp, (one, two, three), lambda y: y.sum(1), Composite("z"))
    torch.testing.assert_close(blended.delta, torch.zeros(2, dtype=DOUBLE), rtol=0, atol=1e-12)


VANISHING = {
    "cube": lambda x: x**3,
    "clamp": lambda x: x.clamp(-0.5, 0.4),
    "threshold": lambda x: F.threshold(x, 0.1, 0.0),
}


@pytest.mark.parametrize("name", VANISHING)
def test_what_is_zero_at_zero_is_a_signal(name):
    """Functions that no list names are asked for their value at zero, and take their share of a product."""
    one, two = torch.randn(2, 3, 5, dtype=DOUBLE, generator=torch.Generator().manual_seed(8))
    product = VANISHING[name](one) * torch.tanh(two)
    found = relevances(lambda a, b: VANISHING[name](a) * torch.tanh(b), (one, two), lambda y: y.sum(1), Composite("z"))
    for part in found.relevances:
        torch.testing.assert_close(part, product / 2)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers_conserve_without_biases(kind):
    torch.manual_seed(1)
    net = kind(3, 5, batch_first=True, bias=False).double()
    x = torch.randn(2, 6, 3, dtype=DOUBLE)
    found = relevances(lambda x: net(x)[0][:, -1], (x,), third, Composite("z"))
    torch.testing.assert_close(found.delta, torch.zeros(2, dtype=DOUBLE), rtol=0, atol=1e-10)


def state_of(model):
    return {
        name: (set(vars(module)), len(module._forward_hooks), len(module._backward_hooks), module.training)
        for name, module in model.named_modules()
    } | {name: (p.requires_grad, p.grad is None, p._version) for name, p in model.named_parameters()}


def test_rules_stay_and_nothing_else_is_left():
    torch.manual_seed(5)
    model = Forms().double()
    rule = model.two.rule = GammaRule(0.5)
    model.out.rule = None
    before, weights = state_of(model), copy.deepcopy(model.state_dict())
    first = relevances(model, (images(),), third, CPLRP())
    second = relevances(model, (images(),), third, CPLRP(), audit=True)
    assert torch.allclose(first.relevances[0], second.relevances[0], rtol=1e-12)
    assert first.certificate.count(repr(rule)) == 1
    assert model.two.rule is rule
    with pytest.raises(IndexError):
        relevances(model, (images(),), lambda y: y[:, 9], CPLRP())
    assert state_of(model) == before
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def test_threads_with_different_rules_agree_with_one_after_the_other():
    torch.manual_seed(5)
    model = Forms().double()
    expected = [relevances(model, (images(),), third, c).relevances[0] for c in COMPOSITES]
    found = [None] * len(COMPOSITES)

    def work(n):
        for _ in range(5):
            found[n] = relevances(model, (images(),), third, COMPOSITES[n]).relevances[0]

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(COMPOSITES))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_where_rules_come_from_and_which_wins():
    torch.manual_seed(5)
    model = Forms().double()
    composite = Composite(
        "mixed",
        (
            Assign(ZPlus(), "conv2d", module="tw*"),
            Assign(Flat(), first=True),
            Assign(Gamma(), module=nn.Linear),
            Assign(Epsilon(0.1)),
        ),
    )

    def rules(**more):
        found = relevances(model, (images(),), third, composite, **more)
        return {row.operation + str(row.rule) for row in found.certificate.operations}

    assert {"conv2dZPlus()", "conv2dFlat()", "linearGamma(gamma=0.25)"} <= rules()
    model.form = "functional"
    assert {"conv2dFlat()", "conv2dEpsilon(epsilon=0.1)", "addmmEpsilon(epsilon=0.1)"} <= rules()
    model.form = "module"
    model.one.rule = EpsilonRule()
    assert "conv2dEpsilonRule(epsilon=1e-09)" in rules()
    assert "conv2dZPlus()" not in rules(rules={"two": Epsilon(0.5)})
    named = rules(rules={model.one: Epsilon(0.25), nn.Conv2d: Epsilon(0.5), Forms: Epsilon(0.75)})
    assert {
        "conv2dEpsilon(epsilon=0.25)",
        "conv2dEpsilon(epsilon=0.5)",
        "linearEpsilon(epsilon=0.75)",
    } <= named


def test_rules_that_cannot_be_meant_are_refused():
    model = Forms().double()
    with pytest.raises(ValueError, match=r"\['three'\].*named_modules"):
        relevances(model, (images(),), third, CPLRP(), rules={"three": Epsilon()})
    with pytest.raises(ValueError, match=r"is a class.*Pass EpsilonRule\(\)"):
        relevances(model, (images(),), third, CPLRP(), rules={"one": EpsilonRule})
    model.one.rule = captum_rules.EpsilonRule()
    with pytest.raises(TypeError, match="no propagation rule of this library"):
        relevances(model, (images(),), third, CPLRP())
    model.one.rule = "a word of the model's own"
    assert relevances(model, (images(),), third, CPLRP()).relevances[0].isfinite().all()


def test_two_inputs_and_an_unused_one():
    layer = nn.Linear(3, 2).double()
    a, b = torch.randn(2, 4, 3, dtype=DOUBLE)
    found = relevances(lambda a, b: layer(a), (a, b), lambda y: y[:, 1], Composite("", (Assign(Flat()),)))
    assert not found.relevances[1].any()
    torch.testing.assert_close(found.relevances[0].sum(1), found.outputs)


def test_rules_in_the_engines_terms_precede():
    torch.manual_seed(5)
    model = Forms().double()
    model.two.rule = GammaRule(0.5)
    kept = Rule("my own", lambda occurrence: None)
    by_name = relevances(model, (images(),), third, CPLRP(), choices=Choices(rules={"linear": kept}))
    found = {(row.operation, row.rule) for row in by_name.certificate.operations}
    assert {("linear", "gradient"), ("conv2d", repr(GammaRule(0.5)))} <= found
    override = by_module(model, {"two": NATIVE})
    by_place = relevances(model, (images(),), third, CPLRP(), choices=Choices(override=override))
    rules = [row.rule for row in by_place.certificate.operations if row.operation == "conv2d"]
    assert sorted(rules) == ["Epsilon(epsilon=1e-06)", "linear"]


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, g):
        return 2 * g


def test_a_users_function_is_refused_or_trusted():
    layer, x = nn.Linear(3, 2).double(), torch.rand(2, 3, dtype=DOUBLE)

    def net(x):
        return layer(Doubled.apply(x))

    with pytest.raises(UnsupportedModelError, match="Doubled"):
        relevances(net, (x,), lambda y: y[:, 1], CPLRP())
    flat = Composite("", (Assign(Flat(), first=True), Assign(Epsilon(1e-12))))
    found = relevances(net, (x,), lambda y: y[:, 1], flat, choices=Choices(functions={Doubled: None}))
    assert found.certificate.count("Flat()") == 0  # what the function does is not known to be linear
    torch.testing.assert_close(found.delta, layer.bias[1].detach().expand(2))


def test_in_place_writes_that_autograd_forbids_are_run_again_with_the_same_books():
    weight = torch.randn(3, 3, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))

    def net(x):
        scale = torch.ones(3, dtype=DOUBLE)
        y = x * scale
        scale.mul_(2.0)
        first, second = (y @ weight).clone().chunk(2, 0)
        first.relu_()
        return torch.cat([first, second])

    x = torch.randn(2, 3, dtype=DOUBLE, generator=torch.Generator().manual_seed(4))
    found = relevances(net, (x,), lambda y: y[:, 1], Composite("z"), audit=True)
    assert abs(found.audit.elsewhere) < 1e-12
    torch.testing.assert_close(found.relevances[0].sum(1), found.outputs)
    assert all(row.calls <= 2 for row in found.audit.rows)


def test_examples_without_further_dimensions():
    x = torch.tensor([1.0, -2.0, 3.0], dtype=DOUBLE)
    found = relevances(lambda x: x * 2 + 1, (x,), lambda y: y, Composite("z"))
    torch.testing.assert_close(found.delta, torch.ones(3, dtype=DOUBLE))
