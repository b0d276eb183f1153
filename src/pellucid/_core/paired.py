"""Values of complementary pairs, and sampling more of them until an estimate is good enough."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid._core.expansion import agree
from pellucid._core.game import Game
from pellucid._core.pairs import Pairs, all_pairs, draw_pairs
from pellucid._core.report import notify
from pellucid.errors import SamplingWarning, invalid_value

ENDS = 2
"""Coalitions that every game evaluates: all players and none."""
MOST = 20_000
"""Coalitions evaluated at most for a tolerance, if no budget is given."""
GROWTH = 4
"""A round for a tolerance takes at most so many times the coalitions taken before."""
NUMBERS = 2**27
"""Coalitions times players that a regression holds at most."""


@dataclass(frozen=True)
class PairValues:
    """What a game's pairs are worth; what a call that continues another one starts from.

    Attributes:
        pairs: the pairs.
        first: values of their coalitions, shape (pairs, *value_shape), float64.
        second: values of the complements.
        full: value of all players.
        empty: value of none.
        seed: of the draw.
    """

    pairs: Pairs
    first: Tensor
    second: Tensor
    full: Tensor
    empty: Tensor
    seed: int

    def __len__(self) -> int:
        """How many coalitions were evaluated, all players and none included."""
        return 2 * len(self.first) + ENDS

    @property
    def odd(self) -> Tensor:
        """``(v(S) - v(complement)) / 2`` of each pair."""
        return (self.first - self.second) / 2

    @property
    def even(self) -> Tensor:
        """``(v(S) + v(complement)) / 2`` of each pair."""
        return (self.first + self.second) / 2


def evaluate_pairs(
    values: Callable[[Tensor], Tensor], full: Tensor, players: int, coalitions: int, begin: PairValues | int
) -> PairValues:
    """Evaluate as many coalitions as asked for, in pairs; what is known already is not evaluated again.

    Args:
        values: the game's values of coalitions.
        full: value of all players.
        players: number of players, at least 2.
        coalitions: how many to evaluate in all, at least 4.
        begin: what is known, or the seed of the draw.

    Returns:
        The values, on the CPU.
    """
    seed = begin if isinstance(begin, int) else begin.seed
    pairs = draw_pairs(players, (coalitions - ENDS) // 2, seed)
    if isinstance(begin, PairValues) and len(pairs.coalitions) <= len(begin.pairs.coalitions):
        return begin
    if isinstance(begin, int):
        both = torch.cat([torch.zeros(1, players, dtype=torch.bool), pairs.coalitions, ~pairs.coalitions])
        found = values(both).cpu()
        first, second = found[1:].chunk(2)
        return PairValues(pairs, first, second, full.double().cpu(), found[0], seed)
    known, old = _beginnings(pairs, begin.pairs), _beginnings(begin.pairs, pairs)
    same = (pairs.coalitions[known] == begin.pairs.coalitions[old]).all(1)
    other = torch.unique(pairs.sizes[known][~same])  # so many are taken now that they are drawn otherwise
    known, old = known & ~torch.isin(pairs.sizes, other), old & ~torch.isin(begin.pairs.sizes, other)
    fresh = pairs.coalitions[~known]
    found = values(torch.cat([fresh, ~fresh])).cpu()
    parts = []
    for part, before in zip(found.chunk(2), (begin.first, begin.second), strict=True):
        whole = torch.empty(len(pairs.coalitions), *part.shape[1:], dtype=part.dtype)
        whole[known], whole[~known] = before[old], part
        parts.append(whole)
    return PairValues(pairs, parts[0], parts[1], begin.full, begin.empty, seed)


def _beginnings(pairs: Pairs, others: Pairs) -> Tensor:
    """Which pairs lie within the length that the streams have in another draw."""
    return torch.cat([torch.arange(m) < o for m, o in zip(pairs.taken, others.taken, strict=True)])


def check_size(players: int, coalitions: int) -> None:
    """Refuse a regression that does not fit into memory."""
    if players * coalitions > NUMBERS:
        raise invalid_value(
            "feature_mask",
            f"one that leaves {players} features",
            f"a regression on {coalitions} coalitions of so many takes more than {NUMBERS} numbers",
            "a feature_mask with fewer features, or a smaller n_samples",
        )


def check_same(players: int, full: Tensor, game: Game) -> None:
    """Refuse to continue with values of a game of other players, or with another value of all of them."""
    if players != game.players or not agree(full, game.full.double().cpu()):
        raise invalid_value(
            "start_from",
            f"about {players} features with other values",
            "the model, inputs, baselines, target or mask differ from those that it was made with",
            "the state of a call with the same arguments",
        )


@dataclass(frozen=True)
class Budget:
    """How many coalitions to evaluate.

    Attributes:
        first: before errors are looked at.
        most: at most, in all.
        tolerance: largest standard error at which to stop; ``None`` stops after ``first``.
    """

    first: int
    most: int
    tolerance: float | None

    @classmethod
    def of(cls, samples: int, known: int, tolerance: float | None, max_evals: int | None) -> Budget:
        """Set it from the arguments of a call that begins with ``known`` coalitions."""
        ceiling = known + (max_evals or (samples if tolerance is None else max(samples, MOST)))
        return cls(min(known + samples, ceiling), ceiling, tolerance)

    def next(self, taken: int, error: float, all_there_are: int) -> int:
        """How many coalitions the next round should have in all, going by the largest error; 0 if it is enough."""
        if self.tolerance is None or not error > self.tolerance:
            return 0
        wanted = math.ceil(taken * min(GROWTH, (error / self.tolerance) ** 2)) + 1
        count = min(max(wanted, taken + 2), self.most, all_there_are)
        if count >= taken + 2 or (count > taken and count == all_there_are):
            return count
        notify(
            SamplingWarning,
            f"After {taken} evaluations the largest standard error is {error:.2g}, above the tolerance of"
            f" {self.tolerance:.2g}: raise max_evals, or continue with start_from.",
        )
        return 0


def all_coalitions(players: int) -> int:
    """Count all coalitions."""
    return 2 * all_pairs(players) + ENDS
