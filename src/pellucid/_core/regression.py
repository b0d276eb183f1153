"""Shapley values by regression: the additive game that is nearest to a game, with the total kept exactly.

Shapley values are the ``phi`` that minimise

``sum over S of mu(|S|) (v(S) - v(empty) - sum of phi_i over i in S)^2``, ``mu(s) = (n - 1) / (C(n, s) s (n - s))``,

under ``sum phi = v(all) - v(empty)``. The weights of S and of its complement are equal, so the solution depends only
on the odd part ``u(S) = (v(S) - v(complement)) / 2`` of the game, and a pair of coalitions is one equation
``u(S) = sum of z_i phi_i`` with ``z_i = 1/2`` in S and ``-1/2`` outside. With ``z`` centred to sum to zero the
constraint drops out: what is left is an ordinary weighted regression, whose pairs were drawn size by size. What it
leaves over is explained by interactions of three players as far as that helps (``third_order``).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pellucid._core.pairs import Pairs
from pellucid._core.third_order import third_order
from pellucid._core.weighted import Design


class Estimate(NamedTuple):
    """An estimate and its standard error, of the same shape."""

    values: Tensor
    errors: Tensor


def shapley_regression(pairs: Pairs, odd: Tensor, total: Tensor) -> Estimate:
    """Estimate Shapley values from the odd parts of pairs of coalitions.

    Args:
        pairs: the pairs.
        odd: ``(v(S) - v(complement)) / 2`` for each pair, shape (pairs, *shape).
        total: ``v(all) - v(empty)``, shape (*shape,).

    Returns:
        Values of shape (players, *shape) that sum to the total, and their standard errors: zero if all pairs are
        there, infinite if the pairs do not determine the values also without any one of them.
    """
    players = pairs.coalitions.shape[1]
    whole = total.double().reshape(1, -1)
    target = odd.double().reshape(len(odd), -1) - (pairs.sizes / players - 0.5)[:, None] * whole
    centred = pairs.coalitions.double() - (pairs.sizes / players)[:, None]
    design = Design.of(centred, _weights(pairs), null=torch.ones(players, dtype=torch.float64))
    coefficients, residuals = design.solve(target)
    if pairs.complete:
        errors = torch.zeros_like(coefficients)
    elif not design.holds_without(pairs.fractions < 1):
        errors = torch.full_like(coefficients, torch.inf)
    else:
        control = third_order(pairs.coalitions, design, residuals)
        coefficients = coefficients + control.change
        errors = ((design.influence.square() * (1 - pairs.fractions)) @ control.left_out.square()).sqrt()
    values = coefficients + whole / players
    return Estimate(values.reshape(-1, *total.shape), errors.reshape(-1, *total.shape))


def _weights(pairs: Pairs) -> Tensor:
    """Kernel weight of each pair times the number of pairs it stands for, up to a common factor."""
    players = pairs.coalitions.shape[1]
    halves = torch.where(2 * pairs.sizes == players, 0.5, 1.0)
    return halves * pairs.population / (pairs.sizes * (players - pairs.sizes))
