"""Laws that attributions obey as numbers: what they sum to, and how they follow the function that they explain."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.testing._judging import Judge
from pellucid.testing._models import DOUBLE
from pellucid.testing._subject import Subject, inputs_of_net
from pellucid.typing import ForwardFunction

EXACT = 1e-12


def completeness(subject: Subject) -> None:
    """Attributions sum to F(x) - F(baseline): as well as promised on a curved model, exactly on a quadratic one."""
    x = inputs_of_net()
    _sums(subject, subject.net(), x, subject.tolerance, Judge("completeness", subject.about))
    weight = torch.linspace(-1, 1.5, 15, dtype=DOUBLE).cos().reshape(3, 5)
    _sums(subject, lambda v: F.linear(v, weight) ** 2, x, EXACT, Judge("completeness", "a sum of squares"))


def _sums(subject: Subject, model: ForwardFunction, x: Tensor, tolerance: float, judge: Judge) -> None:
    base = torch.linspace(-0.5, 0.9, 5, dtype=DOUBLE)[None] if subject.baselines else torch.zeros_like(x[:1])
    given = {"baselines": base} if subject.baselines else {}
    difference = (model(x) - model(base)).detach()[:, 2]
    if subject.delta:
        found, delta = subject.run(model, x, target=2, return_convergence_delta=True, **given)
        judge.equal(delta, found.sum(1) - difference, EXACT, "the delta and what the sum of attributions misses")
    else:
        found = subject.run(model, x, target=2, **given)
    judge.equal(found.sum(1), difference, tolerance, "the sum of attributions and the difference of outputs")


def missingness(subject: Subject) -> None:
    """A feature that has its baseline's value gets nothing."""
    x, base = inputs_of_net(), torch.linspace(-0.5, 0.9, 5, dtype=DOUBLE)[None]
    x[:, 2] = base[:, 2]
    found = subject.run(subject.net(), x, target=0, baselines=base)
    judge = Judge("missingness", f"{subject.about} and a feature at its baseline")
    judge.equal(found[:, 2], torch.zeros_like(x[:, 2]), 1e-15, "attributions of the feature and zero")


def symmetry(subject: Subject) -> None:
    """Features that the model treats alike get equal attributions where they have equal values."""
    inner = subject.net(4)

    def model(v: Tensor) -> Tensor:
        output: Tensor = inner(torch.cat([v[:, :1] + v[:, 1:2], v[:, 2:]], 1))
        return output

    x = inputs_of_net()
    x[:, 1] = x[:, 0]
    found = subject.run(model, x, target=0)
    judge = Judge("symmetry", f"{subject.about} of the sum of two features")
    judge.equal(found[:, 0], found[:, 1], EXACT, "attributions of the two")


def dummy(subject: Subject) -> None:
    """A feature without influence gets nothing, and every other one gets something."""
    inner, x = subject.net(4), inputs_of_net()
    found = subject.run(lambda v: inner(v[:, :4]), x, target=0)
    judge = Judge("dummy", f"{subject.about} that does not look at its last feature")
    # outputs are compared where features are removed: the same row is rounded otherwise in a larger matrix product
    judge.equal(found[:, 4], torch.zeros_like(x[:, 4]), 1e-15, "attributions of the last feature and zero")
    judge.require(bool((found[:, :4] != 0).any(0).all()), "a feature with influence gets zero everywhere")


def permutation(subject: Subject) -> None:
    """Features in another order get their attributions in that order."""
    model, x, order = subject.net(), inputs_of_net(), torch.tensor([3, 1, 4, 0, 2])
    back = order.argsort()
    found = subject.run(lambda v: model(v[:, back]), x[:, order], target=0)
    expected = subject.run(model, x, target=0)[:, order]
    judge = Judge("permutation", f"{subject.about} and features in another order")
    judge.equal(found, expected, EXACT, "attributions and those of the former order")


def scale(subject: Subject) -> None:
    """A multiple of the output has the same multiple of attributions, however small it is."""
    model, x = subject.net(), inputs_of_net()
    expected = subject.run(model, x, target=0)
    for factor in (1 / 300, 700.0):
        found = subject.run(lambda v, factor=factor: factor * model(v), x, target=0) / factor
        judge = Judge("scale", f"{factor:.3g} times {subject.about}")
        judge.equal(found, expected, EXACT, "attributions, scaled back, and those of the network")


def form(subject: Subject) -> None:
    """One function has one explanation: modules, one used twice, functions, by hand, in place, of views."""
    net, x = subject.net(), inputs_of_net()
    expected = subject.run(net, x, target=1)
    for name, model in _forms(net, subject).items():
        found = subject.run(model, x, target=1)
        judge = Judge("form", f"{subject.about}, written {name}")
        judge.equal(found, expected, EXACT, "attributions and those of the network of modules")


def _forms(net: nn.Sequential, subject: Subject) -> dict[str, ForwardFunction]:
    """The network in other words."""
    linear = [layer for layer in net if isinstance(layer, nn.Linear)]
    act, reused = subject.activation, net[1]

    def functional(v: Tensor) -> Tensor:
        for layer in linear[:-1]:
            v = act(F.linear(v, layer.weight, layer.bias))
        return F.linear(v, linear[-1].weight, linear[-1].bias)

    def by_hand(v: Tensor) -> Tensor:
        for layer in linear[:-1]:
            v = act(v @ layer.weight.T + layer.bias)
        return v @ linear[-1].weight.T + linear[-1].bias

    def in_place(v: Tensor) -> Tensor:
        for layer in linear[:-1]:
            v = F.linear(v, layer.weight)
            v += layer.bias
            v = torch.tanh_(v) if not subject.rectifiers else act(v)
        return F.linear(v, linear[-1].weight).add_(linear[-1].bias)

    def viewed(v: Tensor) -> Tensor:
        for layer in linear[:-1]:
            v = act(layer(v).unflatten(1, (2, -1)).transpose(1, 2)).transpose(1, 2).flatten(1)
        output: Tensor = linear[-1](v)
        return output

    return {
        "with one activation module used twice": nn.Sequential(linear[0], reused, linear[1], reused, linear[2]).eval(),
        "with functions": functional,
        "with products of matrices": by_hand,
        "in place": in_place,
        "with activations of views": viewed,
    }
