"""What the methods share that sample complementary pairs of coalitions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid._core.anytime import accept_effort
from pellucid._core.door import accept_count, accept_optional_count
from pellucid._core.game import Game
from pellucid._core.paired import (
    Budget,
    PairValues,
    all_coalitions,
    check_same,
    check_size,
    evaluate_pairs,
)
from pellucid._core.random import draw_seeds
from pellucid._core.regression import Estimate
from pellucid._core.report import notify
from pellucid._core.sampling import warn_if_noisy
from pellucid.errors import SamplingWarning, invalid_type

TOLERANCE = "Sampling goes on until no standard error is larger, in the units of the output; None stops after n_samples."
"""What the argument means for methods that sample."""
LEAST = 4
"""All features, none, and a pair."""


@dataclass(frozen=True)
class PairsEffort:
    """How long to sample pairs, and from where.

    Attributes:
        budget: how many coalitions.
        begin: what is known.
    """

    budget: Budget
    begin: PairValues | None

    @property
    def samples(self) -> int:
        """Coalitions that are evaluated in this call at least, less the one of all features."""
        known = 0 if self.begin is None else self.begin.coalitions
        return self.budget.first - known - (self.begin is None)


def accept_pairs_effort(
    players: int,
    n_samples: int,
    tolerance: float | None,
    max_evals: int | None,
    start_from: object,
) -> PairsEffort:
    """Check how long to sample.

    Args:
        players: number of features.
        n_samples: coalitions to evaluate.
        tolerance: largest standard error to stop at.
        max_evals: coalitions to evaluate at most.
        start_from: state of an earlier call, if any.

    Returns:
        The effort.
    """
    if start_from is not None and not isinstance(start_from, PairValues):
        raise invalid_type("start_from", f"a {type(start_from).__name__}", "it is no state", "report.state")
    samples = accept_count("n_samples", n_samples, min(LEAST, 2**players))
    ceiling = accept_optional_count("max_evals", max_evals)
    if ceiling is not None:
        accept_count("max_evals", ceiling, min(LEAST, 2**players))
    effort = accept_effort(samples, tolerance, ceiling)
    known = 0 if start_from is None else start_from.coalitions
    everything = all_coalitions(players)
    budget = Budget.of(min(samples, everything), known, effort.tolerance, ceiling)
    check_size(players, min(budget.first, everything))
    return PairsEffort(budget, start_from)


def sample_pairs(
    game: Game,
    effort: PairsEffort,
    estimate: Callable[[PairValues], Estimate],
    source: tuple[torch.Generator | None, int | None],
) -> tuple[PairValues, Estimate]:
    """Evaluate pairs until the estimate is good enough.

    Args:
        game: what is played, by two features at least.
        effort: how long to sample.
        estimate: what is made of the pairs.
        source: generator or seed of a new sample.

    Returns:
        The values of the pairs, and the estimate.
    """
    begin: PairValues | int
    if effort.begin is None:
        (begin,) = draw_seeds(1, *source)
    else:
        check_same(effort.begin, game.players, game.full)
        begin = effort.begin
    count, everything = effort.budget.first, all_coalitions(game.players)
    while True:
        values = evaluate_pairs(_unrepeated(game), game.full, game.players, min(count, everything), begin)
        found = estimate(values)
        count = effort.budget.next(values.coalitions, float(found.errors.max()), everything)
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
        f"{name}: {coalitions} coalitions do not determine the values of {len(estimate.values)} features; of all that"
        f" fit, the ones nearest to each other were taken. Pass n_samples=None, or at least {4 * len(estimate.values)}.",
    )
