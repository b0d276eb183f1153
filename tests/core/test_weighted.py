"""Weighted least squares: as accurate as an orthogonal factorisation, and what a fit without one row would say."""

import pytest
import torch

from pellucid._core.weighted import Design
from tests.models import DOUBLE


def problem(rows, terms, seed=0, condition=1.0):
    source = torch.Generator().manual_seed(seed)
    design = torch.randn(rows, terms, dtype=DOUBLE, generator=source)
    if condition > 1:
        left, _, right = torch.linalg.svd(design, full_matrices=False)
        design = left @ torch.diag(torch.logspace(0, -1, terms, base=condition, dtype=DOUBLE)) @ right
    weights = torch.rand(rows, dtype=DOUBLE, generator=source) + 0.5
    return design, weights, torch.randn(rows, 2, dtype=DOUBLE, generator=source)


def shortest(design, weights, target):
    root = weights.sqrt()[:, None]
    return torch.linalg.pinv(root * design, rtol=1e-12) @ (root * target)


def test_an_ill_conditioned_design_loses_no_more_digits_than_it_must():
    """Normal equations alone would square the condition: 1e-6 and not 1e-10 would be left."""
    design, weights, target = problem(40, 6, condition=1e5)
    truth = torch.linspace(-1, 2, 12, dtype=DOUBLE).reshape(6, 2)
    prepared = Design.of(design, weights)
    assert prepared.determined
    found, residuals = prepared.solve(design @ truth)
    assert (found - truth).abs().max() < 1e-9
    assert residuals.abs().max() < 1e-12
    found, residuals = prepared.solve(target)
    expected = shortest(design, weights, target)
    assert (found - expected).abs().max() < 1e-9 * expected.abs().max()
    assert torch.allclose(residuals, weights.sqrt()[:, None] * (target - design @ expected), atol=1e-9)


@pytest.mark.parametrize(("rows", "determined"), [(9, True), (5, True), (4, False), (2, False)])
def test_a_direction_that_the_rows_do_not_hold_is_known(rows, determined):
    """It counts as a row, and gets nothing; of several solutions the shortest is taken."""
    design, weights, target = problem(rows, 6)
    null = torch.linspace(0.5, 2.0, 6, dtype=DOUBLE)
    design = design - torch.outer(design @ null, null) / null.square().sum()
    prepared = Design.of(design, weights, null)
    assert prepared.determined is determined
    assert torch.allclose(prepared.solve(target)[0], shortest(design, weights, target), atol=1e-10)


def test_the_slack_of_a_row_tells_its_residual_in_a_fit_without_it():
    design, weights, target = problem(12, 4)
    prepared = Design.of(design, weights)
    _, residuals = prepared.solve(target)
    for row in range(12):
        others = torch.arange(12) != row
        without = shortest(design[others], weights[others], target[others])
        left_out = weights[row].sqrt() * (target[row] - design[row] @ without)
        assert torch.allclose(residuals[row] / prepared.slack[row], left_out, atol=1e-11)


def test_a_row_that_alone_knows_a_coefficient_is_needed():
    design, weights, _ = problem(12, 4)
    design[:, 3] = 0.0
    design[7, 3] = 2.0
    prepared = Design.of(design, weights)
    others = torch.arange(12) != 7
    assert prepared.determined
    assert prepared.holds_without(others)
    assert not prepared.holds_without(~others)
    assert not Design.of(design[others], weights[others]).holds_without(torch.ones(11, dtype=torch.bool))
