"""Shapley interactions of two players, from all coalitions or from a sample of pairs.

The interaction index of players i and j is their joint effect beyond the sum of their effects, averaged over the
coalitions T of the others as Shapley values average effects:

``I_ij = sum over T of w(|T|) (v(T+i+j) - v(T+i) - v(T+j) + v(T))``  with  ``w(t) = t! (n - t - 2)! / (n - 1)!``

It is a sum over all coalitions S of ``a_ij(S) v(S)`` and depends only on the even part ``e(S) = (v(S) + v(complement))
/ 2``. From a sample, a quadratic game is fitted to the even parts; its interactions are its coefficients, and the sum
over what the fit left over, each pair standing for those it was drawn from, corrects them. So a quadratic game is
exact, and so is any game from all pairs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pellucid._core.pairs import Pairs
from pellucid._core.regression import Estimate
from pellucid._core.weighted import Design

BLOCK = 2**24
"""Numbers that one block of the direct sum holds at most."""


def interaction_matrix(pairs: Pairs, even: Tensor, ends: Tensor, shapley: Estimate) -> Estimate:
    """Split a game into its players' own effects and the interactions of two.

    Args:
        pairs: the drawn pairs of coalitions.
        even: ``(v(S) + v(complement)) / 2`` of each pair, shape (pairs, *shape).
        ends: ``(v(all) + v(empty)) / 2``, shape (*shape,).
        shapley: Shapley values and their errors, shape (players, *shape).

    Returns:
        Symmetric matrices, shape (players, players, *shape): ``I_ij / 2`` beside the diagonal, and on it what makes
        row i sum to the Shapley value of i.
    """
    players = pairs.coalitions.shape[1]
    columns = torch.cat([even.double().reshape(len(even), -1), ends.double().reshape(1, -1)])
    if pairs.complete:
        index = _direct(*_with_ends(pairs), columns * _represented(pairs)[:, None])
        spread = torch.zeros_like(index)
    else:
        index, spread = _corrected_fit(pairs, columns)
    both, own = index / 2, torch.arange(players)
    both[own, own] = shapley.values.double().reshape(players, -1) - both.sum(1)
    spread[own, own] += shapley.errors.double().reshape(players, -1).square()
    shape = (players, players, *ends.shape)
    return Estimate(both.reshape(shape), spread.sqrt().reshape(shape))


def _with_ends(pairs: Pairs) -> tuple[Tensor, Tensor]:
    """Coalitions and sizes, the empty one last."""
    players = pairs.coalitions.shape[1]
    empty = torch.zeros(1, players, dtype=torch.bool)
    return torch.cat([pairs.coalitions, empty]), torch.cat([pairs.sizes, torch.zeros(1, dtype=torch.float64)])


def _represented(pairs: Pairs) -> Tensor:
    """How many coalitions each row stands for: both of each pair, of all pairs of its size."""
    return torch.cat([2 / pairs.fractions, torch.full((1,), 2.0, dtype=torch.float64)])


def _effects(sizes: Tensor, players: int) -> tuple[Tensor, Tensor, Tensor]:
    """Coefficients ``a_ij`` of a coalition that holds none, one or both of i and j."""
    table = [1 / ((players - 1) * math.comb(players - 2, t)) for t in range(players - 1)]
    weight = torch.nn.functional.pad(torch.tensor(table, dtype=torch.float64), (2, 2))
    size = sizes.long() + 2
    return weight[size], -weight[size - 1], weight[size - 2]


def _direct(coalitions: Tensor, sizes: Tensor, values: Tensor) -> Tensor:
    """Sum ``a_ij(S)`` times values over coalitions, shape (players, players, columns), zero on the diagonal."""
    none, one, two = _effects(sizes, coalitions.shape[1])
    present = coalitions.double()
    linear = present.T @ ((one - none)[:, None] * values)
    bent = ((two - 2 * one + none)[:, None] * values).T
    step = max(1, BLOCK // present.numel())
    quadratic = [present.T @ (present * part[:, :, None]) for part in torch.split(bent, step)]
    found = torch.cat(quadratic).permute(1, 2, 0) + linear[:, None] + linear[None] + none @ values
    own = torch.arange(len(found))
    found[own, own] = 0
    return found


def _corrected_fit(pairs: Pairs, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Interactions, and variances of what they contribute to the matrix, both (players, players, columns)."""
    coalitions, sizes = _with_ends(pairs)
    players, stands = coalitions.shape[1], _represented(pairs)
    first, second = torch.triu_indices(players, players, 1)
    signs = coalitions.double() - 0.5
    products = torch.cat([signs[:, first] * signs[:, second], torch.ones(len(signs), 1, dtype=torch.float64)], dim=1)
    none, one, two = _effects(sizes, players)
    design = Design.of(products, stands * -one.where(sizes > 0, -none))
    coefficients, residuals = design.solve(columns)
    index = _direct(coalitions, sizes, residuals / design.root * stands[:, None])
    index[first, second] += coefficients[:-1]
    index[second, first] += coefficients[:-1]
    if not design.holds_without(sizes > 0):
        return index, torch.full_like(index, torch.inf)
    held = coalitions[:, first].long() + coalitions[:, second].long()
    effects = torch.stack([none, one, two], dim=1).gather(1, held) * (stands[:, None] / design.root)
    influence = effects.T + (design.influence[:-1] - (effects.T @ design.rows) @ design.influence)
    drawn = torch.cat([1 - pairs.fractions, torch.zeros(1, dtype=torch.float64)])
    left_out = (residuals / design.slack.clamp(min=1e-12)[:, None]).square() * drawn[:, None]
    spread = torch.zeros_like(index)
    spread[first, second] = influence.square() @ left_out / 4
    spread[second, first] = spread[first, second]
    full = torch.zeros(players, players, len(coalitions), dtype=torch.float64)
    full[first, second] = full[second, first] = influence
    own = torch.arange(players)
    spread[own, own] = full.sum(1).square() @ left_out / 4
    return index, spread
