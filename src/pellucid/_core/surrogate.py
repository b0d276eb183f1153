"""Linear surrogates: the weighted linear fits of a model's values at coalitions, for all examples at once.

The coalitions are the same for all examples; weights and values differ. A fit minimises, with weights that sum to one,

``1/2 sum of w (v - b_0 - sum of b_i over i in S)^2  +  penalty``

A penalty is relative: that of the lasso to the smallest one that makes all coefficients zero, so that a model whose
output is scaled gets coefficients that are scaled, and a constant one gets zeros.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from pellucid._core.checks import accept_number
from pellucid._core.report import notify
from pellucid._core.weighted import TINY
from pellucid.errors import ConvergenceWarning, invalid_value

BLOCK = 2**24
"""Numbers that the fits of one block of examples hold at most."""
NEWTON = 8
"""Times that the lasso solves for the signs of the solution before."""
LONGEST = 2**13
"""Alternations in a row after which the lasso gives up."""
NEARNESS = 0.1
"""Weight of the alternation, relative to the mean variance of the features."""
SQUARE = 2048
"""Features up to which their inner products are computed although there are fewer rows."""
PRECISION, LOOSE = 1e-10, 1e-6
"""Error of the optimality conditions at which the lasso is done, with and without these products."""


class Moments(NamedTuple):
    """Weighted second moments of a block of E examples, V values each.

    Attributes:
        features: coalitions less their weighted means, shape (E, rows, features).
        weighted: the same times their weights, which sum to one.
        gram: inner products of the features, shape (E, features, features), or ``None`` where they are too many.
        cross: inner products with the values, shape (E, features, V).
    """

    features: Tensor
    weighted: Tensor
    gram: Tensor | None
    cross: Tensor

    def times(self, coefficients: Tensor) -> Tensor:
        """Multiply coefficients with the inner products of the features."""
        if self.gram is not None:
            return self.gram @ coefficients
        return self.weighted.mT @ (self.features @ coefficients)


class Surrogate(NamedTuple):
    """Fitted surrogates.

    Attributes:
        coefficients: shape (features, E, V).
        intercepts: shape (E, V).
        errors: standard errors of the coefficients as estimates of those from all coalitions.
        fit: weighted R^2, the share of the values' variance that the surrogate explains, shape (E, V).
    """

    coefficients: Tensor
    intercepts: Tensor
    errors: Tensor
    fit: Tensor


class Solver(Protocol):
    """What tells one surrogate from another."""

    def solve(self, moments: Moments, centred: Tensor) -> Tensor:
        """Give coefficients, shape (E, features, V), from moments and values less their means, (E, rows, V)."""


@dataclass(frozen=True)
class LeastSquares:
    """No penalty, or one on the squares of the coefficients.

    Attributes:
        ridge: weight of ``1/2 sum of b^2``, relative to the mean variance of the features.
    """

    ridge: float = 0.0

    def __post_init__(self) -> None:
        """Check the weight."""
        accept_number("ridge", self.ridge, "a number >= 0", low=0)

    def solve(self, moments: Moments, centred: Tensor) -> Tensor:
        """Solve the normal equations and refine once, or find the shortest solution where there are several."""
        gram = moments.gram
        if gram is not None and centred.shape[1] > gram.shape[1]:
            scale = self.ridge * gram.diagonal(dim1=1, dim2=2).mean(1)
            factor, failed = torch.linalg.cholesky_ex(gram + scale[:, None, None] * torch.eye(gram.shape[1]).to(gram))
            pivots = factor.diagonal(dim1=1, dim2=2)
            if not bool(failed.any()) and bool((pivots.amin(1) > 1e-6 * pivots.amax(1)).all()):
                found = torch.cholesky_solve(moments.cross, factor)
                residuals = centred - moments.features @ found
                again = moments.weighted.mT @ residuals - scale[:, None, None] * found
                return found + torch.cholesky_solve(again, factor)
        _, sizes, right = torch.linalg.svd(_root(moments), full_matrices=False)
        scale = self.ridge * sizes.square().sum(1) / moments.features.shape[2]
        kept = sizes > 1e-10 * sizes[:, :1]
        inverse = torch.where(kept, 1 / (sizes.square() + scale[:, None]), 0.0)
        shortest: Tensor = right.mT @ (inverse[:, :, None] * (right @ moments.cross))
        return shortest


def _root(moments: Moments) -> Tensor:
    """Features times the roots of their weights."""
    weights = torch.where(moments.features != 0, moments.weighted / moments.features, 0.0).amax(2, keepdim=True)
    return moments.features * weights.sqrt()


@dataclass(frozen=True)
class Lasso:
    """A penalty on the absolute coefficients: few of them, and none that does not matter.

    Attributes:
        share: weight of ``sum of |b|`` relative to the smallest one that makes all coefficients zero, 0 to 1.
    """

    share: float = 0.01

    def __post_init__(self) -> None:
        """Check the share."""
        if accept_number("share", self.share, "a number in [0, 1)", low=0) >= 1:
            raise invalid_value("share", repr(self.share), "from 1 on all coefficients are zero", "a number in [0, 1)")

    def solve(self, moments: Moments, centred: Tensor) -> Tensor:
        """Solve for the signs of the present solution until they stay, nearer and nearer to the solution."""
        del centred
        most = moments.cross.abs().amax(1, keepdim=True)
        cross = moments.cross / most.clamp(min=torch.finfo(most.dtype).tiny)
        found = near = dual = torch.zeros_like(cross)
        open_ = torch.ones_like(most, dtype=torch.bool)
        inverse, steps = None, 32
        while True:
            guess = near if moments.gram is None else self._newton(moments.gram, cross, near)
            gap = self._gap(moments, cross, guess)
            settled = open_ & (gap <= (LOOSE if moments.gram is None else PRECISION))
            found, open_ = torch.where(settled, guess, found), open_ & ~settled
            if not bool(open_.any()):
                return found * most
            if steps > LONGEST:
                break
            inverse = inverse or _Regularised.of(moments)
            near, dual = self._split(inverse, cross, near, dual, steps)
            steps *= 2
        gap = self._gap(moments, cross, near)[open_]
        notify(
            ConvergenceWarning,
            f"The lasso's optimality conditions are met to {float(gap.max()):.1g} only, relative to the largest"
            " coefficient's: there are too few coalitions for so many features. Take more samples, or fewer features"
            " (feature_mask).",
        )
        return torch.where(open_, near, found) * most

    def _newton(self, gram: Tensor, cross: Tensor, found: Tensor) -> Tensor:
        """Alternate between the signs that a solution implies and the solution for these signs."""
        examples, features, values = cross.shape
        own = gram.diagonal(dim1=1, dim2=2).clamp(min=1e-12)[:, :, None]
        signs = torch.full_like(cross, torch.nan)
        for _ in range(NEWTON):
            pull = found + (cross - gram @ found) / own
            new = pull.sign() * (pull.abs() > self.share / own)
            if torch.equal(new, signs):
                break
            signs = new
            active = signs.abs().mT.reshape(-1, features)
            systems = gram.repeat_interleave(values, 0) if values > 1 else gram
            systems = systems * (active[:, :, None] * active[:, None]) + torch.diag_embed(1 - active)
            aims = ((cross - self.share * signs) * signs.abs()).mT.reshape(-1, features, 1)
            solved, _ = torch.linalg.solve_ex(systems, aims)
            found = torch.where(solved.isfinite(), solved, 0.0).reshape(examples, values, features).mT
        return found

    def _gap(self, moments: Moments, cross: Tensor, found: Tensor) -> Tensor:
        """How far the gradient is from where the penalty holds it, shape (E, 1, V)."""
        gradient = cross - moments.times(found)
        beyond = (gradient.abs() - self.share).clamp(min=0)
        return torch.where(found == 0, beyond, (gradient - self.share * found.sign()).abs()).amax(1, keepdim=True)

    def _split(
        self, inverse: _Regularised, cross: Tensor, found: Tensor, dual: Tensor, steps: int
    ) -> tuple[Tensor, Tensor]:
        """Alternate between the squares and the penalty, which a dual variable makes agree (ADMM)."""
        weight = inverse.weight
        by = self.share / weight
        for _ in range(steps):
            pull = inverse.times(cross + weight * (found - dual)) + dual
            found = pull - torch.maximum(torch.minimum(pull, by), -by)
            dual = pull - found
        return found, dual


@dataclass(frozen=True)
class _Regularised:
    """The inverse of the features' inner products plus ``weight`` times the identity, shape (E, 1, 1)."""

    weight: Tensor
    inverse: Tensor
    rows: Tensor | None

    @classmethod
    def of(cls, moments: Moments) -> _Regularised:
        rows = _root(moments)
        weight = NEARNESS * rows.square().sum((1, 2), keepdim=True) / rows.shape[2]
        gram = moments.gram if moments.gram is not None else rows @ rows.mT
        identity = torch.eye(gram.shape[1], dtype=gram.dtype)
        return cls(weight, torch.linalg.inv(gram + weight * identity), rows if moments.gram is None else None)

    def times(self, values: Tensor) -> Tensor:
        if self.rows is None:
            return self.inverse @ values
        return (values - self.rows.mT @ (self.inverse @ (self.rows @ values))) / self.weight


def fit_surrogates(coalitions: Tensor, weights: Tensor, values: Tensor, solver: Solver, drawn: float) -> Surrogate:
    """Fit a linear surrogate to the values of each example.

    Args:
        coalitions: bool, shape (rows, features), shared by all examples.
        weights: similarity of each coalition with each example, shape (rows, E).
        values: shape (rows, E, V).
        solver: kind of surrogate.
        drawn: share of all coalitions that the rows are.

    Returns:
        The surrogates.
    """
    present = coalitions.double()
    step = max(1, BLOCK // max(1, 2 * present.numel()))
    parts = [
        _fit(present, w, v, solver, drawn)
        for w, v in zip(torch.split(weights.double(), step, 1), torch.split(values.double(), step, 1), strict=True)
    ]
    coefficients, intercepts, errors, fit = (list(p) for p in zip(*parts, strict=True))
    return Surrogate(torch.cat(coefficients, 1), torch.cat(intercepts), torch.cat(errors, 1), torch.cat(fit))


def _fit(present: Tensor, weights: Tensor, values: Tensor, solver: Solver, drawn: float) -> Surrogate:
    share = (weights / weights.sum(0)).T[:, :, None]
    targets = values.transpose(0, 1)
    middle, mean = (share * present).sum(1, keepdim=True), (share * targets).sum(1, keepdim=True)
    varies = targets.amax(1, keepdim=True) > targets.amin(1, keepdim=True)
    features, centred = present - middle, torch.where(varies, targets - mean, 0.0)
    weighted = share * features
    gram = weighted.mT @ features if present.shape[1] <= max(len(present), SQUARE) else None
    moments = Moments(features, weighted, gram, weighted.mT @ centred)
    found = solver.solve(moments, centred)
    residuals = centred - features @ found
    spread, left = (share * centred.square()).sum(1), (share * residuals.square()).sum(1)
    return Surrogate(
        found.transpose(0, 1),
        (mean - middle @ found)[:, 0],
        _errors(moments, share, residuals, drawn).transpose(0, 1),
        1 - torch.where(spread > 0, left / spread, 0.0),
    )


def _errors(moments: Moments, share: Tensor, residuals: Tensor, drawn: float) -> Tensor:
    """Errors from each row's influence and its residual in a fit without it; infinite where there are too few rows.

    A row pulls the fit to itself by its leverage: its share of the weights, through the intercept, and its influence.
    """
    if drawn >= 1:
        return torch.zeros_like(moments.cross)
    if moments.gram is None or moments.features.shape[1] < moments.features.shape[2] + 2:
        return torch.full_like(moments.cross, torch.inf)
    inverse, failed = torch.linalg.inv_ex(moments.gram)
    influence = moments.weighted @ inverse
    slack = 1 - share - (influence * moments.features).sum(2, keepdim=True)
    left_out = residuals / slack.clamp(min=TINY)
    errors = ((1 - drawn) * (influence.square().mT @ left_out.square())).sqrt()
    told = (failed == 0) & (slack > TINY).all(1)[:, 0]
    return torch.where(told[:, None, None], errors, torch.inf)
