"""Nothing leaves its ball or its bounds, in the last bit, whatever the inputs, norms and dtypes are."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pellucid.robust import APGD, FAB, FGSM, PGD, RobustnessEvaluator, Square
from pellucid.robust._balls import BALLS, Box, settle
from pellucid.robust._hyperplane import onto_hyperplane
from tests.models import DOUBLE

ORDER = {"Linf": torch.inf, "L2": 2, "L1": 1}
pytestmark = pytest.mark.filterwarnings("ignore::pellucid.errors.AttackWarning")


def net(dtype, seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4)).to(dtype)


def cases():
    return st.fixed_dictionaries(
        {
            "seed": st.integers(0, 10**6),
            "dtype": st.sampled_from([torch.float32, DOUBLE]),
            "norm": st.sampled_from(list(ORDER)),
            "radius": st.sampled_from([0.0, 1e-6, 0.03, 8 / 255, 0.7, 5.0]),
            "scale": st.sampled_from([1e-3, 1.0, 300.0]),
            "bounded": st.booleans(),
        }
    )


def size(perturbed, x, norm):
    return torch.linalg.vector_norm(perturbed.double() - x.double(), ORDER[norm], dim=1)


def attacks(model, low, high, norm, radius, y):
    steps = {"step_size": radius / 3, "step_num": 4, "norm": norm, "seed": 1}
    yield lambda x: PGD(model, None, low, high).perturb(x, radius, target=y, **steps)
    yield lambda x: PGD(model, None, low, high).perturb(x, radius, target=y, random_start=True, **steps)
    yield lambda x: PGD(model, None, low, high).perturb(x, radius, target=y, normalized=True, n_restarts=2, **steps)
    yield lambda x: APGD(model, "cross_entropy", low, high).perturb(x, radius, y, norm=norm, n_iter=6, seed=1)
    yield lambda x: APGD(model, "targeted_dlr", low, high).perturb(x, radius, y, norm=norm, n_iter=6, seed=1)
    yield lambda x: Square(model, low, high).perturb(x, radius, y, norm=norm, n_queries=6, seed=1)


@settings(max_examples=12, deadline=None)
@given(cases())
def test_no_attack_leaves_its_ball_or_its_bounds(case):
    model = net(case["dtype"], case["seed"])
    x = torch.randn(3, 6, dtype=case["dtype"]) * case["scale"]
    low, high = (-float("inf"), float("inf"))
    if case["bounded"]:
        low, high = float(x.double().quantile(0.2)), float(x.double().quantile(0.8))
        x = x.clamp(low, high)
    bounds = x.new_tensor(low), x.new_tensor(high)
    y = model(x).argmax(1)
    limit = case["radius"] if case["dtype"] == torch.float32 else case["radius"] * (1 + 1e-14)
    for attack in attacks(model, low, high, case["norm"], case["radius"], y):
        found = attack(x)
        assert found.dtype == x.dtype
        assert bool((size(found, x, case["norm"]) <= limit).all())
        assert bool(((found >= bounds[0]) & (found <= bounds[1])).all())
    found = FGSM(model, None, low, high).perturb(x, case["radius"], y)
    assert bool((size(found, x, "Linf") <= limit).all())
    assert bool(((found >= bounds[0]) & (found <= bounds[1])).all())
    nearest = FAB(model, low, high).search(x, y, norm=case["norm"], n_iter=5)
    assert bool(((nearest.perturbed >= bounds[0]) & (nearest.perturbed <= bounds[1])).all())


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE, torch.bfloat16])
@pytest.mark.parametrize("norm", list(ORDER))
def test_what_an_evaluation_turned_is_turned_inside_the_ball(norm, dtype):
    model = net(dtype, 3)
    x = torch.rand(20, 6).to(dtype)
    y = model(x).argmax(1)
    found = RobustnessEvaluator(model, 0.0, 1.0).evaluate(x, y, 0.4, norm=norm, seed=0, n_iter=15, n_queries=20)
    fell = ~found.standing
    assert bool(fell.any())
    assert torch.equal(model(found.perturbed).argmax(1) != y, fell)
    assert bool((size(found.perturbed, x, norm) <= 0.4 * (1 + 1e-14)).all())
    assert bool(((found.perturbed >= 0) & (found.perturbed <= 1)).all())
    assert torch.allclose(size(found.perturbed, x, norm), found.distances)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.05, 0.7, 2.0, 50.0]), st.booleans())
def test_the_projection_onto_ball_and_box_is_the_nearest_point(seed, radius, bounded):
    torch.manual_seed(seed)
    center, point = torch.rand(4, 5, dtype=DOUBLE), torch.randn(4, 5, dtype=DOUBLE) * 2
    end = 1.0 if bounded else torch.inf
    box = Box(torch.full((1, 1), -end + (1.0 if bounded else 0.0)).to(DOUBLE), torch.full((1, 1), end).to(DOUBLE))
    found = BALLS["L1"].project(point, center, radius, box)
    assert bool((BALLS["L1"].size(found - center) <= radius * (1 + 1e-12)).all())
    assert bool(((found >= box.low) & (found <= box.high)).all())
    for _ in range(30):  # a projection onto a convex set: (point - found) . (other - found) <= 0 for all others in it
        other = box.clamp(center + BALLS["L1"].draw(4, 5, torch.default_generator) * radius)
        assert bool((((point - found) * (other - found)).sum(1) <= 1e-10).all())
    assert torch.allclose(BALLS["L1"].project(found, center, radius, box), found, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(list(ORDER)), st.booleans())
def test_the_way_to_a_hyperplane_is_the_shortest(seed, norm, bounded):
    torch.manual_seed(seed)
    n = 8
    point = torch.rand(n, 5, dtype=DOUBLE)
    normal = torch.randn(n, 5, dtype=DOUBLE) * (torch.rand(n, 5) > 0.2)
    normal[:, 0] += 0.1
    value = torch.randn(n, dtype=DOUBLE)
    end = torch.ones(1, 1, dtype=DOUBLE) if bounded else torch.full((1, 1), torch.inf, dtype=DOUBLE)
    box = Box(1 - end if bounded else -end, end)
    step = onto_hyperplane(point, normal, value, BALLS[norm], box)
    left = value + (normal * step).sum(1)
    there = left.abs() < 1e-9
    assert bool((there | (bounded & (left.sign() == value.sign()))).all())
    assert bool(((point + step >= box.low - 1e-12) & (point + step <= box.high + 1e-12)).all())
    for _ in range(40):  # other points of the box on the far side are not nearer
        other = torch.rand(n, 5, dtype=DOUBLE) if bounded else torch.randn(n, 5, dtype=DOUBLE) * 3
        across = (value + (normal * (other - point)).sum(1)).sign() != value.sign()
        farther = BALLS[norm].size(other - point) >= BALLS[norm].size(step) * (1 - 1e-9)
        assert bool((~across | ~there | farther).all())


def test_settling_moves_only_what_is_outside_and_only_towards_the_center():
    center = torch.full((2, 3), 0.1, dtype=torch.float32)
    box = Box(torch.full((1, 1), -1.0), torch.full((1, 1), 1.0))
    points = torch.stack([center[0] + 0.3, center[1] + 0.05])
    moved = settle(points, center, 0.3, BALLS["Linf"], box)
    assert torch.equal(moved[1], points[1])
    assert bool(((moved.double() - center.double()).abs() <= 0.3).all())
    assert bool((moved[0] > points[0] - 1e-6).all())


@pytest.mark.parametrize("norm", list(ORDER))
def test_random_points_fill_the_ball(norm):
    draws = BALLS[norm].draw(20_000, 3, torch.Generator().manual_seed(0))
    sizes = BALLS[norm].size(draws)
    assert float(sizes.max()) <= 1.0
    share = (sizes < 0.5).double().mean()  # a ball of half the radius has 1/8 of the volume
    assert float(share) == pytest.approx(1 / 8, abs=0.01)
    assert float(draws.mean(0).abs().max()) < 0.02
