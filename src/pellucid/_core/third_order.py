"""Interactions of three players as a control for the regression of Shapley values.

The odd part of a game is a sum over odd sets A of ``b_A chi_A(S)``, where ``chi_A(S)`` is the product over A of +1 for
players in S and -1 for others. The regression fits the sets of one player; the sets of three are the largest part of
what it leaves over in smooth games. They are many (n choose 3), so all ``b_A`` get one common prior variance, which
is a kernel: with signs s, t and ``p = s . t``, ``sum over A of chi_A(S) chi_A(T) = (p^3 - (3 n - 2) p) / 6``. How much
is believed is chosen by leaving one pair out: nothing, where values are independent of each other. The regression
is then of what is left, and the Shapley values of the control, 2/3 for each player of A, are added back, so nothing
that the control says wrongly is lost: it lowers the variance and keeps what is estimated. Each ``chi_A`` is less its
share of the total, which is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor

from pellucid._core.weighted import TINY, Design

LARGEST = 400
"""Pairs, or sets of three, up to which the control is computed: its cost grows with the cube of the fewer ones."""
BLOCK = 2**20
"""Residuals that are fitted at a time."""
BELIEFS = (1 / 256, 1 / 16, 1.0, 16.0)
"""Noise variances that are tried, relative to the prior's."""


class Control(NamedTuple):
    """What the control changes.

    Attributes:
        change: of each coefficient of the regression, shape (players, columns).
        left_out: weighted residual of each pair in a fit without it, shape (pairs, columns).
    """

    change: Tensor
    left_out: Tensor


def third_order(coalitions: Tensor, design: Design, residuals: Tensor) -> Control:
    """Fit interactions of three players to the residuals of the regression.

    Args:
        coalitions: shape (pairs, players).
        design: the regression's, determined.
        residuals: its weighted residuals, shape (pairs, columns).

    Returns:
        The control; it changes nothing where it would cost too much or has nothing to say.
    """
    count, players = coalitions.shape
    slack = design.slack.clamp(min=TINY)[:, None]
    change, left_out = torch.zeros_like(residuals[:players]), residuals / slack
    if players < 3 or min(count, math.comb(players, 3)) > LARGEST:
        return Control(change, left_out)
    signs = coalitions.double() * 2 - 1
    smoother = _Features.of(signs, design) if count > LARGEST else _Pairs.of(signs, design)
    noise = smoother.scale * torch.tensor(BELIEFS, dtype=signs.dtype)[:, None, None]
    rest_of, kept = smoother.rests(noise)
    slacks = (slack - 1 + kept[:, :, None]).clamp(min=TINY)
    parts = []
    for part, plain in zip(*(torch.split(v, max(1, BLOCK // count), 1) for v in (residuals, left_out)), strict=True):
        rests = rest_of(part)
        without = torch.cat([plain[None], rests / slacks])
        chosen = without.square().sum(1).argmin(0).expand(1, count, -1)
        duals = torch.cat([torch.zeros_like(rests[:1]), rests / noise])
        parts.append((duals.gather(0, chosen)[0], without.gather(0, chosen)[0]))
    weights, left_out = (torch.cat(p, 1) for p in zip(*parts, strict=True))
    values = _shapley(signs, weights * design.root)
    return Control(values - design.influence @ smoother.times(weights), left_out)


class _Pairs(NamedTuple):
    """Ridge regression on the interactions by the kernel of the pairs.

    Attributes:
        kernel: of the weighted pairs.
        apart: the same without what the additive regression explains itself.
        scale: mean variance of the control at a pair.
    """

    kernel: Tensor
    apart: Tensor
    scale: Tensor

    @classmethod
    def of(cls, signs: Tensor, design: Design) -> _Pairs:
        kernel = _kernel(signs) * design.root * design.root.T
        apart = design.left_over(design.left_over(kernel).T)
        return cls(kernel, apart, apart.diagonal().mean().clamp(min=TINY))

    def rests(self, noise: Tensor) -> tuple[Callable[[Tensor], Tensor], Tensor]:
        """What gives the rests that each noise leaves of residuals, and how much it leaves of a pair's own.

        Args:
            noise: shape (beliefs, 1, 1).

        Returns:
            A function from (pairs, columns) to (beliefs, pairs, columns), and shares of shape (beliefs, pairs).
        """
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(_plus(self.apart, noise)))
        return lambda residuals: noise * (inverse @ residuals), noise[:, :, 0] * inverse.diagonal(dim1=1, dim2=2)

    def times(self, weights: Tensor) -> Tensor:
        """The control that weights of the pairs make, at the pairs."""
        return self.kernel @ weights


class _Features(NamedTuple):
    """Ridge regression on the interactions one by one, for more pairs than interactions."""

    rows: Tensor
    apart: Tensor
    gram: Tensor
    scale: Tensor

    @classmethod
    def of(cls, signs: Tensor, design: Design) -> _Features:
        rows = _triples(signs) * design.root
        apart = design.left_over(rows)
        return cls(rows, apart, apart.T @ apart, apart.square().sum(1).mean().clamp(min=TINY))

    def rests(self, noise: Tensor) -> tuple[Callable[[Tensor], Tensor], Tensor]:
        """As for pairs."""
        influence = self.apart @ torch.cholesky_inverse(torch.linalg.cholesky(_plus(self.gram, noise)))

        def rest_of(residuals: Tensor) -> Tensor:
            return residuals - influence @ (self.apart.T @ residuals)

        return rest_of, 1 - (influence * self.apart).sum(2)

    def times(self, weights: Tensor) -> Tensor:
        """As for pairs."""
        return self.rows @ (self.rows.T @ weights)


def _kernel(signs: Tensor) -> Tensor:
    """Inner products of all ``chi_A - share`` of two coalitions, relative to those of a coalition with itself."""
    players = signs.shape[1]
    most, share = math.comb(players, 3), signs.mean(1)
    beside = share / 2 - _cubic(signs.sum(1), players) / most
    left, right = torch.stack([share, beside], dim=1), torch.stack([beside, share])
    return torch.addmm(_cubic(signs @ signs.T, players), left, right, beta=1 / most)


def _cubic(product: Tensor, players: int) -> Tensor:
    return (product * product).sub_(3 * players - 2).mul_(product).div_(6)


def _plus(matrix: Tensor, noise: Tensor) -> Tensor:
    """A matrix plus each noise times the identity, shape (beliefs, ...)."""
    systems = matrix.repeat(len(noise), 1, 1)
    systems.diagonal(dim1=1, dim2=2).add_(noise[:, 0])
    return systems


def _triples(signs: Tensor) -> Tensor:
    """All ``chi_A - share``, so scaled that their inner products are the kernel."""
    first, second, third = torch.tensor(list(combinations(range(signs.shape[1]), 3))).T
    products = signs[:, first] * signs[:, second] * signs[:, third]
    return (products - signs.mean(1, keepdim=True)) / math.sqrt(products.shape[1])


def _shapley(signs: Tensor, weights: Tensor) -> Tensor:
    """Shapley values of the game ``sum over j of weights_j kernel(S, S_j)``, shape (players, columns)."""
    players = signs.shape[1]
    beside = ((signs.sum(1, keepdim=True) - signs).square() - (players - 1)) / 2  # pairs of others, by their signs
    values = (2 / 3) * signs * beside / math.comb(players, 3)
    return (values - values.mean(1, keepdim=True)).T @ weights  # the share of the mean sign is that of every player
