"""Activations beyond any table of types, modules with the user's hooks, and rectifiers before max-pooling."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from pellucid._core.rules.operation import operation_of
from pellucid._core.rules.vocabulary import WRAPPERS

from .asking import incompleteness, lifted, weighted


class Named(nn.ReLU):
    """A rectifier of the user's own class."""


class Leaking(nn.ReLU):
    """A class of its own that computes something else than its base."""

    def forward(self, v):
        return super().forward(v) - 0.2 * super().forward(-v)


ACTIVATIONS = {
    "ReLU6": nn.ReLU6,
    "PReLU": nn.PReLU,
    "RReLU": nn.RReLU,
    "SELU": nn.SELU,
    "CELU": nn.CELU,
    "Hardtanh": nn.Hardtanh,
    "Hardsigmoid": nn.Hardsigmoid,
    "Softplus": nn.Softplus,
    "Softsign": nn.Softsign,
    "Softshrink": nn.Softshrink,
    "LogSigmoid": nn.LogSigmoid,
    "Tanhshrink": nn.Tanhshrink,
    "Mish": nn.Mish,
    "subclass": Named,
    "subclass that computes another function": Leaking,
    "relu6": lambda: F.relu6,
    "prelu": lambda: lambda v: F.prelu(v, torch.full((7,), 0.3)),
    "mish": lambda: F.mish,
    "by hand": lambda: lambda v: v * torch.tanh(torch.log1p(v.exp())),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_outside_of_any_table(name):
    """Complete, and therefore not the plain gradient times the difference."""
    first, last, act = nn.Linear(5, 7), nn.Linear(7, 4), ACTIVATIONS[name]()
    act = act.eval() if isinstance(act, nn.Module) else act
    x, model = 4 * torch.randn(4, 5), lambda v: last(act(first(v)))
    assert incompleteness(model, x) < 1e-12
    base, found = lifted(model, x)
    point = x.clone().requires_grad_()
    (plain,) = torch.autograd.grad(weighted(model(point)).sum(), point)
    missed = (plain * (x - base[0])).sum(1) - (found.outputs - found.reference_outputs)
    assert missed.abs().max() > 1e-3


def test_a_subclass_is_what_it_computes():
    x, first = torch.randn(4, 5), nn.Linear(5, 7)
    own, plain = (lifted(lambda v, a=a: a(first(v)), x)[1].multipliers for a in (Leaking(), nn.LeakyReLU(0.2)))
    torch.testing.assert_close(own, plain)


@pytest.mark.parametrize("start", ["zero", "random"])
def test_a_rectifier_right_before_max_pooling(start):
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 2))
    x = torch.randn(5, 2, 6, 6)
    base = (torch.zeros(5, 2, 6, 6) if start == "zero" else torch.randn(5, 2, 6, 6),)
    assert incompleteness(model, x, baselines=base) < 1e-12
    together = lifted(model, x, baselines=base)[1].multipliers[0]
    for i in range(5):
        alone = lifted(model, x[i : i + 1], baselines=(base[0][i : i + 1],))[1].multipliers[0]
        torch.testing.assert_close(alone, together[i : i + 1], rtol=1e-11, atol=1e-13)


def test_a_module_that_is_also_used_off_the_path():
    act, first, last, side = nn.Tanh(), nn.Linear(5, 7), nn.Linear(7, 4), torch.randn(7)
    x = torch.randn(3, 5)

    def off(v):
        constant = act(side)
        found = last(act(first(v)) * constant)
        act(found.detach())
        return found

    shared = lifted(off, x)[1].multipliers
    torch.testing.assert_close(shared, lifted(lambda v: last(first(v).tanh() * side.tanh()), x)[1].multipliers)


def test_modules_that_carry_hooks_of_the_users():
    """What hooks change is part of the function; those that only look are called, and stay."""
    first, act, last, x, seen = nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 4), torch.randn(3, 5), []
    expected = lifted(lambda v: last(2 * torch.tanh(first(v + 1))), x)[1]
    act.register_forward_hook(lambda _m, _a, out: 2 * out)
    first.register_forward_pre_hook(lambda _, args: (args[0] + 1,))
    last.register_forward_hook(lambda _m, _a, out: seen.append(out.shape))
    found = lifted(nn.Sequential(first, act, last), x)[1]
    torch.testing.assert_close(found.outputs, expected.outputs)
    torch.testing.assert_close(found.multipliers, expected.multipliers)
    assert seen
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in (first, act, last)] == [1, 1, 1]


@pytest.mark.parametrize("hook", [lambda *_: None, lambda _m, g, _o: (2 * g[0],)])
def test_hooks_on_gradients_are_no_part_of_the_function(hook):
    net, x = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 4)), torch.randn(3, 5)
    expected = lifted(net, x)[1].multipliers
    net[1].register_full_backward_hook(hook)
    torch.testing.assert_close(lifted(net, x)[1].multipliers, expected)


class _Calls(TorchFunctionMode):
    """Collects the canonical names of all calls."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.names.append(operation_of(func).name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", sorted(WRAPPERS))
def test_a_wrapper_makes_one_call_of_its_name(name):
    operation = operation_of(getattr(F, name))
    x = torch.tensor([[1.0, -2.0]], requires_grad=True)
    assert operation.whole is not None
    with _Calls() as calls:
        operation.body(x)
    assert calls.names == [name]
