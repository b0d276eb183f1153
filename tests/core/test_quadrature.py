import math

import numpy as np
import pytest
import torch

from pellucid._core.quadrature import RULES, nested_nodes, quadrature, romberg_row
from pellucid.errors import InvalidValueError

DEGREES = {"riemann_left": 0, "riemann_right": 0, "riemann_middle": 1, "riemann_trapezoid": 1}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("n", [2, 3, 7, 50, 400])
def test_weights_sum_to_one_and_nodes_lie_on_the_path(rule, n):
    nodes, weights = quadrature(rule, n)
    assert nodes.dtype == weights.dtype == torch.float64
    assert abs(float(weights.sum()) - 1) < 1e-14
    assert nodes.min() >= 0
    assert nodes.max() <= 1
    assert bool((nodes.diff() > 0).all())


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("n", [2, 3, 6])
def test_degree_of_exactness(rule, n):
    nodes, weights = quadrature(rule, n)
    degree = DEGREES.get(rule, 2 * n - 1)
    for d in range(degree + 1):
        assert abs(float((weights * nodes**d).sum()) - 1 / (d + 1)) < 1e-14
    assert abs(float((weights * nodes ** (degree + 1)).sum()) - 1 / (degree + 2)) > 1e-8


@pytest.mark.parametrize("rule", RULES)
def test_order_of_convergence(rule):
    def error(n):
        nodes, weights = quadrature(rule, n)
        return abs(float((weights * nodes.exp()).sum()) - (math.e - 1))

    order = {"riemann_left": 1, "riemann_right": 1, "riemann_middle": 2, "riemann_trapezoid": 2}.get(rule)
    if order is None:
        assert error(8) < 1e-14
    else:
        assert np.log2(error(200) / error(400)) == pytest.approx(order, abs=0.05)


def test_unknown_rule_and_too_few_points():
    with pytest.raises(InvalidValueError, match="gausslegendre"):
        quadrature("simpson", 5)
    with pytest.raises(InvalidValueError, match="n_steps >= 2"):
        quadrature("riemann_trapezoid", 1)


def test_nested_levels_make_up_the_midpoint_rule():
    seen = torch.cat([nested_nodes(level) for level in range(5)]).sort().values
    assert torch.allclose(seen, (torch.arange(81, dtype=torch.float64) + 0.5) / 81)


def test_romberg_reaches_high_order():
    row, sums = [], torch.zeros((), dtype=torch.float64)
    for level in range(5):
        sums = sums + nested_nodes(level).exp().sum()
        row = romberg_row(row, sums / 3**level)
    assert abs(float(row[-1]) - (math.e - 1)) < 1e-12
    assert abs(float(row[0]) - (math.e - 1)) > 1e-6


def test_nodes_beyond_the_change_of_library_are_the_same_rule():
    """Both integrate x^k exactly up to degree 2n - 1; weights are positive and nodes rise."""
    for n in (499, 500, 501, 1200):
        nodes, weights = quadrature("gausslegendre", n)
        assert bool((nodes.diff() > 0).all())
        assert bool((weights > 0).all())
        for degree in (1, 2, 7, 2 * n - 1):
            assert float((weights * nodes**degree).sum()) == pytest.approx(1 / (degree + 1), rel=1e-9)
