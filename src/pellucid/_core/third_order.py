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
from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor

from pellucid._core.weighted import TINY, Design

LARGEST = 512
"""Pairs, or sets of three, up to which the control is computed: its cost grows with the cube of the fewer ones."""
BELIEFS = tuple(8.0**k for k in range(-4, 3))
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
    plain = Control(torch.zeros_like(residuals[:players]), residuals / slack)
    if players < 3 or min(count, math.comb(players, 3)) > LARGEST:
        return plain
    signs = coalitions.double() * 2 - 1
    rows = _triples(signs) * design.root if count > LARGEST else None
    kernel = rows @ rows.T if rows is not None else _kernel(signs) * design.root * design.root.T
    sizes, modes = _modes(design, kernel, rows)
    parts = modes.T @ residuals
    scale = sizes.sum() / count
    best, left_out = plain.left_out.square().sum(0), plain.left_out
    dual = torch.zeros_like(parts)
    for belief in BELIEFS:
        kept = sizes / (sizes + belief * scale)
        found = (residuals - modes @ (kept[:, None] * parts)) / (slack - (modes.square() @ kept)[:, None]).clamp(
            min=TINY
        )
        score = found.square().sum(0)
        better = score < best
        best = torch.where(better, score, best)
        left_out = torch.where(better, found, left_out)
        dual = torch.where(better, parts / (sizes + belief * scale)[:, None], dual)
    weights = modes @ dual
    change = _shapley(signs, weights * design.root) - design.influence @ (kernel @ weights)
    return Control(change, left_out)


def _modes(design: Design, kernel: Tensor, rows: Tensor | None) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors of the kernel without what the regression explains itself."""
    if rows is None:
        apart = design.left_over(design.left_over(kernel).T)
        sizes, modes = torch.linalg.eigh(apart)
    else:
        features = design.left_over(rows)
        sizes, vectors = torch.linalg.eigh(features.T @ features)
        modes = features @ vectors / sizes.clamp(min=TINY * float(sizes[-1])).sqrt()
    kept = sizes > TINY * sizes[-1]
    return sizes[kept], modes[:, kept]


def _kernel(signs: Tensor) -> Tensor:
    """Inner products of all ``chi_A - share`` of two coalitions, relative to those of a coalition with itself."""
    players = signs.shape[1]
    share = signs.mean(1)
    inner, total = _cubic(signs @ signs.T, players), _cubic(signs.sum(1), players)
    shared = torch.outer(share, total)
    most = math.comb(players, 3)
    return (inner - shared - shared.T) / most + torch.outer(share, share)


def _cubic(product: Tensor, players: int) -> Tensor:
    return (product**3 - (3 * players - 2) * product) / 6


def _triples(signs: Tensor) -> Tensor:
    """All ``chi_A - share``, so scaled that their inner products are the kernel."""
    first, second, third = torch.tensor(list(combinations(range(signs.shape[1]), 3))).T
    products = signs[:, first] * signs[:, second] * signs[:, third]
    return (products - signs.mean(1, keepdim=True)) / products.shape[1] ** 0.5


def _shapley(signs: Tensor, weights: Tensor) -> Tensor:
    """Shapley values of the game ``sum over j of weights_j kernel(S, S_j)``, shape (players, columns)."""
    players = signs.shape[1]
    beside = ((signs.sum(1, keepdim=True) - signs).square() - (players - 1)) / 2  # pairs of others, by their signs
    values = (2 / 3) * signs * beside / math.comb(players, 3)
    whole = torch.full((1, players), 2 / 3 * math.comb(players - 1, 2) / math.comb(players, 3), dtype=signs.dtype)
    values = values - signs.mean(1, keepdim=True) * whole
    return (values - values.mean(1, keepdim=True)).T @ weights
