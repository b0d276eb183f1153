"""Sampling until an estimate is good enough, or the budget is spent."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid._core.checks import is_finite, is_number, shown
from pellucid._core.estimators import EXACT_LIMIT, AllSubsets, DrawOrder, OrderMoments, SampledOrders, solve
from pellucid._core.expansion import agree
from pellucid._core.report import notify
from pellucid.errors import SamplingWarning, invalid_type, invalid_value

MOST_ORDERS = 20_000
"""Orders drawn at most for a tolerance, if no budget is given."""
GROWTH = 4
"""A round for a tolerance takes at most so many times the orders taken before."""


@dataclass(frozen=True)
class Effort:
    """How long to sample.

    Attributes:
        n_samples: orders to begin with.
        tolerance: largest standard error to stop at, in the units of the output; ``None`` stops after
            ``n_samples``.
        max_evals: coalitions to evaluate at most.
    """

    n_samples: int
    tolerance: float | None = None
    max_evals: int | None = None


def accept_effort(n_samples: int, tolerance: float | None, max_evals: int | None) -> Effort:
    """Check how long to sample; ``n_samples`` and ``max_evals`` are checked counts."""
    if tolerance is not None:
        if not is_number(tolerance):
            raise invalid_type("tolerance", repr(tolerance), "it is a standard error", "a number > 0, or None")
        if not tolerance > 0 or not is_finite(tolerance):
            raise invalid_value("tolerance", shown(tolerance), "it is a standard error", "a number > 0, or None")
    return Effort(n_samples, tolerance, max_evals)


def cost_of_pair(players: int) -> int:
    """Coalitions that an order and its reverse need, beside all features."""
    return 2 * (players - 1) + 1


def sample_orders(
    values: Callable[[Tensor], Tensor],
    players: int,
    full: Tensor,
    effort: Effort,
    begin: torch.Generator | OrderMoments,
    draw: DrawOrder | None = None,
) -> OrderMoments:
    """Estimate Shapley values from pairs of orders, or compute them where that takes no more evaluations.

    Args:
        values: the game's values of coalitions.
        players: number of features.
        full: value of all features.
        effort: how long to sample.
        begin: source of the orders, or what was learned before and is to be continued.
        draw: draws an order; without it, all orders are as likely, and subsets can take their place.

    Returns:
        What was learned.

    Raises:
        InvalidValueError: if ``max_evals`` does not suffice for a pair of orders.
    """
    found = begin if isinstance(begin, OrderMoments) else None
    if found is not None and found.exact:
        return found
    cost = cost_of_pair(players)
    limit = effort.max_evals or cost * MOST_ORDERS // 2
    wanted, spent = math.ceil(effort.n_samples / 2), 0
    if effort.max_evals is None:
        limit = max(limit, wanted * cost)
    while wanted > 0:
        pairs = min(wanted, (limit - spent) // cost)
        if draw is None and _all_subsets_cost_no_more(players, min(wanted * cost, limit - spent)):
            return _exact(values, players, full)
        if pairs == 0:
            break
        generator = begin if isinstance(begin, torch.Generator) else torch.Generator()
        if found is not None:
            generator.set_state(found.generator)
        estimator = SampledOrders(full, pairs, generator, players, draw)
        solve(values, estimator)
        found = estimator.moments(found)
        spent += pairs * cost
        wanted = _still_wanted(found, effort)
    if found is None:
        raise invalid_value(
            "max_evals", str(effort.max_evals), f"a pair of orders takes {cost} evaluations", f"an int >= {cost}"
        )
    _warn_if_short(found, effort, spent)
    return found


def _all_subsets_cost_no_more(players: int, evaluations: int) -> bool:
    return players <= EXACT_LIMIT and 2**players <= evaluations + 1


def _exact(values: Callable[[Tensor], Tensor], players: int, full: Tensor) -> OrderMoments:
    estimator = AllSubsets(players, full)
    solve(values, estimator)
    nothing = torch.zeros_like(estimator.result)
    empty = full - estimator.result.sum(0)
    return OrderMoments(0, estimator.result, nothing, full, empty, torch.Generator().get_state(), exact=True)


def _still_wanted(found: OrderMoments, effort: Effort) -> int:
    """How many more pairs the tolerance takes, going by the errors so far."""
    errors = found.standard_error
    if effort.tolerance is None:
        return 0
    if errors is None:
        return 1
    ratio = float(errors.max()) / effort.tolerance
    return math.ceil(found.pairs * min(ratio * ratio - 1, GROWTH)) if ratio > 1 else 0


def _warn_if_short(found: OrderMoments, effort: Effort, spent: int) -> None:
    errors = found.standard_error
    if effort.tolerance is None or errors is None or not float(errors.max()) > effort.tolerance:
        return
    notify(
        SamplingWarning,
        f"After {spent} evaluations the largest standard error is {float(errors.max()):.2g}, above the tolerance of"
        f" {effort.tolerance:.2g}: raise max_evals, or continue with start_from.",
    )


def check_same_game(before: OrderMoments, players: int, full: Tensor, empty: Tensor) -> None:
    """Refuse to continue what was learned about another question."""
    same = before.mean.shape == (players, *full.shape) and agree(before.full, full) and agree(before.empty, empty)
    if not same:
        raise invalid_value(
            "start_from",
            f"about {before.mean.shape[0]} features with other values",
            "the model, inputs, baselines, target or mask differ from those that it was made with",
            "the state of a call with the same arguments",
        )
