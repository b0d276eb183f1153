"""What the methods share that sample complementary pairs of coalitions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from pellucid._core.anytime import accept_effort
from pellucid._core.door import accept_count
from pellucid._core.game import Game
from pellucid._core.paired import (
    Budget,
    PairValues,
    all_coalitions,
    check_same,
    check_size,
    evaluate_pairs,
)
from pellucid._core.regression import Estimate
from pellucid._core.report import notify
from pellucid._core.sampling import warn_if_noisy
from pellucid.errors import SamplingWarning, invalid_type, invalid_value

State = TypeVar("State")

TOLERANCE = (
    "Sampling goes on until no standard error is larger, in the units of the output; None stops after n_samples."
)
"""What the argument means for methods that sample."""
LEAST = 4
"""All features, none, and a pair."""


def accept_budget(
    players: int,
    n_samples: int,
    tolerance: float | None,
    max_evals: int | None,
    start_from: Any,
    least: int = LEAST,
    repeats: bool = False,
) -> Budget:
    """Check how long to sample.

    Args:
        players: number of features.
        n_samples: coalitions to evaluate.
        tolerance: largest standard error to stop at.
        max_evals: coalitions to evaluate at most.
        start_from: checked state of an earlier call, if any; its length counts coalitions.
        least: fewest coalitions that make sense.
        repeats: whether a coalition can be drawn again, so that there can be more than all of them.

    Returns:
        The budget.
    """
    least = min(least, 2**players)
    samples = accept_count("n_samples", n_samples, least)
    ceiling = None if max_evals is None else accept_count("max_evals", max_evals, least)
    effort = accept_effort(samples, tolerance, ceiling)
    known = 0 if start_from is None else len(start_from)
    everything = all_coalitions(players)
    budget = Budget.of(samples if repeats else min(samples, everything), known, effort.tolerance, ceiling)
    check_size(players, min(budget.first, everything))
    return budget


def accept_state(
    start_from: object, kind: type[State], source: tuple[torch.Generator | None, int | None]
) -> State | None:
    """Check the state of an earlier call, with which generator and seed have no use."""
    if start_from is None:
        return None
    if not isinstance(start_from, kind):
        raise invalid_type(
            "start_from",
            f"a {type(start_from).__name__}",
            "nothing can be continued with it",
            "report.state of a call of this method",
        )
    if source != (None, None):
        raise invalid_value(
            "start_from", "given with a seed or generator", "it goes on with its own draws", "only one of them"
        )
    return start_from


def sample_pairs(
    game: Game, budget: Budget, estimate: Callable[[PairValues], Estimate], begin: PairValues | int
) -> tuple[PairValues, Estimate]:
    """Evaluate pairs until the estimate is good enough.

    Args:
        game: what is played, by two features at least.
        budget: how many coalitions.
        estimate: what is made of the pairs.
        begin: what is known, or the seed of a new sample.

    Returns:
        The values of the pairs, and the estimate.
    """
    if isinstance(begin, PairValues):
        check_same(begin.pairs.coalitions.shape[1], begin.full, game)
    count, everything = budget.first, all_coalitions(game.players)
    while True:
        values = evaluate_pairs(_unrepeated(game), game.full, game.players, min(count, everything), begin)
        found = estimate(values)
        count = budget.next(len(values), float(found.errors.max()), everything)
        if not count:
            return values, found
        check_size(game.players, count)
        begin = values


def _unrepeated(game: Game) -> Callable[[Tensor], Tensor]:
    return lambda coalitions: game.values(coalitions, repeats=False)


def alone(game: Game) -> Estimate:
    """Give a single feature the whole difference."""
    value = (game.full - game.values(torch.zeros(1, 1, dtype=torch.bool))[0])[None]
    return Estimate(value, torch.zeros_like(value))


def per_feature(game: Game, values: Tensor) -> Tensor:
    """Give values of shape (players, *value_shape) the shape (*value_shape, players) and the inputs' dtype."""
    floating = [x.dtype for x in game.question.inputs if x.is_floating_point()]
    return values.movedim(0, -1).to(game.question.inputs[0].device, floating[0] if floating else values.dtype)


def warn_if_unsure(name: str, estimate: Estimate, coalitions: int) -> None:
    """Warn if standard errors are large beside the estimates, or cannot be told."""
    if not bool(estimate.errors.isinf().any()):
        warn_if_noisy(name, (estimate.values,), (estimate.errors,), coalitions)
        return
    notify(
        SamplingWarning,
        f"{name}: {coalitions} coalitions do not determine the values of {len(estimate.values)} features: others fit"
        f" as well, and no error can be told. Pass n_samples=None, or at least {4 * len(estimate.values)}.",
    )
