"""Weighted least squares of many columns on one design."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

TINY = 1e-9
"""Slack below which a row is fitted exactly, whatever its value."""


@dataclass(frozen=True)
class Design:
    """The design of a regression, ready for any number of columns.

    Attributes:
        root: square roots of the weights, shape (rows, 1).
        rows: the weighted design, shape (rows, terms).
        influence: change of each coefficient with each weighted row of a target, shape (terms, rows).
        slack: how much of a row's residual is left by its own influence on the fit, one minus its leverage,
            shape (rows,).
        determined: whether the rows determine the coefficients.
    """

    root: Tensor
    rows: Tensor
    influence: Tensor
    slack: Tensor
    determined: bool

    @classmethod
    def of(cls, design: Tensor, weights: Tensor, null: Tensor | None = None) -> Design:
        """Prepare ``min over b of sum of weights (target - design b)^2``; of several solutions, take the shortest.

        Args:
            design: shape (rows, terms), float64.
            weights: shape (rows,).
            null: a direction of shape (terms,) that the rows are known not to contain.
        """
        root = weights.sqrt()[:, None]
        rows = design * root
        if len(rows) + (null is not None) < rows.shape[1]:
            influence = torch.linalg.pinv(rows, rtol=1e-10)
            return cls(root, rows, influence, 1 - (rows * influence.T).sum(1), determined=False)
        gram = rows.T @ rows
        if null is not None:
            gram = gram + torch.outer(null, null) * (gram.diagonal().mean() / null.square().sum())
        inverse, determined = _inverse(gram)
        influence = inverse @ rows.T
        return cls(root, rows, influence, 1 - (rows * influence.T).sum(1), determined)

    def solve(self, target: Tensor) -> tuple[Tensor, Tensor]:
        """Give coefficients, shape (terms, columns), and weighted residuals, shape (rows, columns)."""
        aims = target * self.root
        coefficients = self.influence @ aims
        residuals = aims - self.rows @ coefficients
        if self.determined:  # the inverse squares the condition of the problem; a step of refinement undoes that
            coefficients = coefficients + self.influence @ residuals
            residuals = aims - self.rows @ coefficients
        return coefficients, residuals

    def holds_without(self, chosen: Tensor) -> bool:
        """Tell whether the rows determine the coefficients also without any one of the chosen ones."""
        return self.determined and bool((self.slack[chosen] > TINY).all())

    def left_over(self, values: Tensor) -> Tensor:
        """Take from weighted columns what the design can explain."""
        return values - self.rows @ (self.influence @ values)


def _inverse(gram: Tensor) -> tuple[Tensor, bool]:
    """The inverse, or where there is none, the pseudo-inverse."""
    factor, failed = torch.linalg.cholesky_ex(gram)
    pivots = factor.diagonal()
    if not failed and bool(pivots.min() > 1e-6 * pivots.max()):
        return torch.cholesky_inverse(factor), True
    return torch.linalg.pinv(gram, rtol=1e-10, hermitian=True), False
