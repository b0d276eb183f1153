"""Attacks where the truth is known: linear classifiers in closed form, small ReLU networks region by region."""

import numpy as np
import pytest
import torch
from torch import nn

from pellucid.robust import APGD, FAB, RobustnessEvaluator, Square
from tests.models import DOUBLE
from tests.reference.robustness import (
    linear_distances,
    nearest_in_box,
    worst_margin_by_programs,
    worst_margins,
)

NORMS = pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])


def linear(classes, features, n=60):
    torch.manual_seed(classes)
    model = nn.Linear(features, classes).to(DOUBLE)
    x = torch.randn(n, features, dtype=DOUBLE)
    return model, x, model(x).argmax(1)


@NORMS
@pytest.mark.parametrize(("classes", "features"), [(2, 7), (5, 12), (12, 4)])
def test_minimal_norms_of_linear_classifiers(norm, classes, features):
    model, x, y = linear(classes, features)
    found = FAB(model).search(x, y, norm=norm, n_iter=10, n_classes=classes)
    exact = linear_distances(model.weight.detach(), model.bias.detach(), x, y, norm)
    assert torch.allclose(found.distances, exact, rtol=1e-4, atol=0)
    assert bool((model(found.perturbed).argmax(1) != y).all())
    size = torch.linalg.vector_norm(found.perturbed - x, {"Linf": torch.inf, "L2": 2, "L1": 1}[norm], dim=1)
    assert torch.allclose(size, found.distances, rtol=1e-12)


@NORMS
def test_minimal_norms_within_bounds(norm):
    model, x, _ = linear(3, 6, n=25)
    x = x.clamp(-1.0, 0.8)
    y = model(x).argmax(1)
    low, high = np.full(6, -1.0), np.full(6, 0.8)
    found = FAB(model, -1.0, 0.8).search(x, y, norm=norm)
    w, scores = model.weight.detach().numpy(), model(x).detach().numpy()
    for i in range(len(x)):
        reached = [
            nearest_in_box(w[t] - w[y[i]], scores[i, t] - scores[i, y[i]], x[i].numpy(), low, high, norm)
            for t in range(3)
            if t != y[i]
        ]
        exact = min((d for d in reached if d is not None), default=np.inf)
        assert found.distances[i].item() == pytest.approx(exact, rel=1e-4)
    assert found.perturbed.min() >= -1.0
    assert found.perturbed.max() <= 0.8


@NORMS
@pytest.mark.parametrize("classes", [2, 4])
def test_robust_accuracy_of_linear_classifiers(norm, classes):
    model, x, y = linear(classes, 6, n=200)
    y = torch.where(torch.arange(200) % 10 == 0, (y + 1) % classes, y)  # some are wrong already
    exact = linear_distances(model.weight.detach(), model.bias.detach(), x, y, norm)
    radius = float(exact.median()) * 1.01 + 1e-3
    found = RobustnessEvaluator(model).evaluate(x, y, radius, norm=norm, seed=1, n_iter=50, n_queries=50)
    assert torch.equal(found.standing, exact > radius)
    assert found.accuracy == 0.9
    assert [f.name for f in found.flags] == []


@NORMS
def test_robust_accuracy_within_bounds(norm):
    model, x, _ = linear(2, 5, n=60)
    x = x.clamp(-0.7, 0.7)
    y = model(x).argmax(1)
    w, scores = model.weight.detach().numpy(), model(x).detach().numpy()
    low, high = np.full(5, -0.7), np.full(5, 0.7)
    exact = [
        nearest_in_box(w[1 - t] - w[t], scores[i, 1 - t] - scores[i, t], x[i].numpy(), low, high, norm)
        for i, t in enumerate(y.tolist())
    ]
    exact = torch.tensor([np.inf if d is None else d for d in exact], dtype=DOUBLE)
    radius = float(exact[exact.isfinite()].median()) * 1.003
    found = RobustnessEvaluator(model, -0.7, 0.7).evaluate(x, y, radius, norm=norm, seed=1, n_iter=40, n_queries=50)
    assert torch.equal(found.standing, exact > radius)


def relu_net(features, hidden, classes, seed):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, classes)).to(DOUBLE)
    for layer in (net[0], net[2]):
        nn.init.normal_(layer.weight)
        nn.init.normal_(layer.bias)
    x = torch.randn(200, features, dtype=DOUBLE)
    return net.requires_grad_(False), x, net(x).argmax(1)


@pytest.mark.filterwarnings("ignore:Robust accuracy:pellucid.errors.AttackWarning")
@pytest.mark.parametrize(
    ("features", "hidden", "classes", "norm", "radius"),
    [
        (2, 10, 2, "Linf", 0.3),
        (2, 10, 3, "L1", 0.5),
        (2, 8, 2, "L2", 0.4),
        (3, 6, 3, "L2", 0.4),
        (3, 10, 4, "Linf", 0.25),
        (3, 10, 2, "L1", 0.6),
    ],
)
def test_robust_accuracy_of_small_networks_is_that_of_their_regions(features, hidden, classes, norm, radius):
    net, x, y = relu_net(features, hidden, classes, hidden + features)
    worst = worst_margins(net, x, y, radius, norm)
    found = RobustnessEvaluator(net, attacks=("APGD-CE", "FAB targeted", "Square")).evaluate(
        x, y, radius, norm=norm, seed=0, n_queries=300
    )
    truly = worst <= 0
    assert 20 < int(truly.sum()) < 180  # the radius splits the examples
    assert not bool((truly & ~found.standing).any())  # what was turned is verified, so the reference would be wrong
    assert int((found.standing & ~truly).sum()) <= 1


def test_the_enumeration_agrees_with_linear_programs():
    net, x, y = relu_net(2, 5, 2, 0)
    worst = worst_margins(net, x[:6], y[:6], 0.3, "Linf")
    programs = [worst_margin_by_programs(net, x[i], int(y[i]), 0.3) for i in range(6)]
    assert worst.tolist() == pytest.approx(programs, abs=1e-8)


@NORMS
@pytest.mark.parametrize("attack", ["cross_entropy", "dlr", "targeted_dlr", "margin", "square"])
def test_each_attack_alone_is_nearly_exact_for_two_classes(norm, attack):
    model, x, y = linear(2, 4, n=100)
    exact = linear_distances(model.weight.detach(), model.bias.detach(), x, y, norm)
    radius = float(exact.median())
    run = Square(model) if attack == "square" else APGD(model, attack)
    settings = {"n_queries": 400} if attack == "square" else {"n_iter": 30}
    turned = model(run.perturb(x, radius, y, norm=norm, seed=0, **settings)).argmax(1) != y
    assert not bool((turned & (exact > radius * (1 + 1e-9))).any())
    slack = 1.4 if attack == "square" else 1.02
    assert bool(turned[exact * slack < radius].all())
