"""Quadrature rules on [0, 1]: where to look along a path, and with which weights.

The weights of every rule sum to one. With n points, the rules integrate polynomials exactly up to degree
0 (left, right), 1 (middle, trapezoid) and 2n - 1 (Gauss-Legendre).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pellucid._core.checks import accept_choice
from pellucid.errors import invalid_value


def _equal(nodes: Tensor) -> tuple[Tensor, Tensor]:
    return nodes, torch.full_like(nodes, 1 / len(nodes))


def _steps(n: int) -> Tensor:
    return torch.arange(n, dtype=torch.float64) / n


def _left(n: int) -> tuple[Tensor, Tensor]:
    return _equal(_steps(n))


def _middle(n: int) -> tuple[Tensor, Tensor]:
    return _equal(_steps(n) + 0.5 / n)


def _right(n: int) -> tuple[Tensor, Tensor]:
    return _equal(_steps(n) + 1 / n)


def _trapezoid(n: int) -> tuple[Tensor, Tensor]:
    if n < 2:
        raise invalid_value("n_steps", str(n), "the trapezoid rule needs both ends of the path", "n_steps >= 2")
    nodes = torch.arange(n, dtype=torch.float64) / (n - 1)
    weights = torch.full_like(nodes, 1 / (n - 1))
    weights[[0, -1]] /= 2
    return nodes, weights


FEW = 500
"""Nodes up to which numpy's cubic time is short; beyond them scipy is quicker and closer."""


MOST = 20_000
"""Gauss-Legendre nodes at most: to find them takes time that grows with the square of their number."""


def _gauss_legendre(n: int) -> tuple[Tensor, Tensor]:
    if n > MOST:
        why = f"Gauss-Legendre nodes are found for {MOST} points at most"
        raise invalid_value("n_steps", str(n), why, "method='riemann_middle', or fewer steps")
    nodes, weights = _roots(n)
    weights = weights / weights.sum()
    return torch.from_numpy((nodes + 1) / 2), torch.from_numpy(weights)


def _roots(n: int) -> Any:
    """Return the roots of the Legendre polynomial of degree n, and their weights on [-1, 1]."""
    if n <= FEW:
        from numpy.polynomial.legendre import leggauss  # noqa: PLC0415  (numpy only where it is needed)

        return leggauss(n)
    from scipy.special import roots_legendre  # noqa: PLC0415  (it is slow to import)

    return roots_legendre(n)


RULES: dict[str, Callable[[int], tuple[Tensor, Tensor]]] = {
    "riemann_left": _left,
    "riemann_middle": _middle,
    "riemann_right": _right,
    "riemann_trapezoid": _trapezoid,
    "gausslegendre": _gauss_legendre,
}


def quadrature(method: str, n: int) -> tuple[Tensor, Tensor]:
    """Give nodes and weights of a rule with n points.

    Args:
        method: one of ``RULES``.
        n: number of points.

    Returns:
        Nodes in [0, 1] in rising order and weights that sum to one, both of shape (n,) in float64.
        They are cached: do not write into them.

    Raises:
        InvalidValueError: for an unknown rule, or too few points for it.
    """
    return _cached(accept_choice("method", method, RULES, "there is no such quadrature"), n)


@functools.lru_cache(maxsize=32)
def _cached(method: str, n: int) -> tuple[Tensor, Tensor]:
    return RULES[method](n)


def nested_nodes(level: int) -> Tensor:
    """Give the points that level ``level`` of the nested midpoint rule adds.

    Level k has the 3^k midpoints of equal intervals, a third of which are those of level k - 1. The ends of the
    path are never touched: at a baseline of zeros many networks have a kink.
    """
    index = torch.arange(int(3**level), dtype=torch.float64)
    new = index if level == 0 else index[index % 3 != 1]
    nodes: Tensor = (new + 0.5) / len(index)
    return nodes


def romberg_row(previous: list[Tensor], midpoint: Tensor, orders: int = 3) -> list[Tensor]:
    """Extrapolate nested midpoint sums: from the row of the last level and this level's sum, the next row.

    ``R[j] = R[j-1] + (R[j-1] - R_previous[j-1]) / (9^j - 1)`` removes the error term of order h^(2j).

    Args:
        previous: the row of the level before, shortest first, empty at the start.
        midpoint: midpoint sum at this level.
        orders: error terms to remove at most.

    Returns:
        The row of this level; its last entry is the best estimate.
    """
    row = [midpoint]
    for j, coarse in enumerate(previous[:orders], start=1):
        row.append(row[-1] + (row[-1] - coarse) / (9**j - 1))
    return row
