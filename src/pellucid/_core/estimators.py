"""From the values of coalitions to one number per feature: which coalitions are asked for, and how they combine.

An estimator yields coalitions slice by slice and takes their values in the same order, so that memory does
not grow with their number and nothing has to be waited for in between. ``solve`` runs one with a game.

    leave one out     v(all) - v(all but i)
    all subsets       sum over S without i of |S|! (n - |S| - 1)! / n! (v(S with i) - v(S)): the Shapley value
    sampled orders    mean over random orders of v(those before i, and i) - v(those before i): an estimate of it
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor

from pellucid._core.masks import slices

EXACT_LIMIT = 20
"""Features up to which all their subsets are evaluated: a million."""
_BUDGET = 2**24
"""Bytes of coalitions, or of their values, that are held at a time."""


DrawOrder: TypeAlias = Callable[[torch.Generator], Tensor]
"""Draws an order of the features: the number of the first one to join, of the second, ..."""


class Estimator(Protocol):
    """Asks for coalitions and takes in their values."""

    def coalitions(self) -> Iterator[Tensor]:
        """Ask, slice by slice: bool, shape (m, players)."""

    def add(self, values: Tensor) -> None:
        """Take in the values of the next slice, shape (m, *value_shape)."""


def solve(values: Callable[[Tensor], Tensor], estimator: Estimator) -> None:
    """Give an estimator the values that it asks for."""
    for coalitions in estimator.coalitions():
        estimator.add(values(coalitions))


class LeaveOneOut:
    """What is lost when a feature alone is missing: ``v(all) - v(all but i)``."""

    def __init__(self, players: int, full: Tensor) -> None:
        """Begin with the value of all features, shape (*value_shape)."""
        self.players = players
        self.full = full
        self._parts: list[Tensor] = []

    def missing(self) -> Iterator[Tensor]:
        """Ask for all features but one, for each.

        Yields:
            Numbers of the features that are missing, each alone.
        """
        for part in slices(self.players, self.players, _BUDGET):
            yield torch.arange(part.start, part.stop)

    def add(self, values: Tensor) -> None:
        """Take in values."""
        self._parts.append(self.full - values)

    @property
    def result(self) -> Tensor:
        """One value per feature, shape (players, *value_shape)."""
        return torch.cat(self._parts)


class AllSubsets:
    """The Shapley value from all subsets: the mean of a feature's contributions over all orders, exactly."""

    def __init__(self, players: int, full: Tensor) -> None:
        """Begin with the value of all features, which is subtracted: what all values share cancels exactly."""
        self.players = players
        self.full = full
        self.result = torch.zeros(players, *full.shape, dtype=torch.float64, device=full.device)
        self._asked: deque[Tensor] = deque()
        joining = [1.0 / (players * math.comb(players - 1, size)) for size in range(players)]
        self._present = torch.tensor([0.0, *joining], dtype=torch.float64)
        self._absent = torch.tensor([*joining, 0.0], dtype=torch.float64)

    def coalitions(self) -> Iterator[Tensor]:
        """Ask for all subsets.

        Yields:
            Coalitions.
        """
        width = self.players * 8 + self.full.numel() * 8
        for part in slices(2**self.players, width, _BUDGET):
            number = torch.arange(part.start, part.stop)
            members = (number[:, None] >> torch.arange(self.players)) % 2 == 1
            self._asked.append(members)
            yield members

    def add(self, values: Tensor) -> None:
        """Take in values."""
        members = self._asked.popleft()
        sizes = members.sum(1)
        weights = torch.where(members, self._present[sizes][:, None], -self._absent[sizes][:, None])
        self.result += torch.tensordot(weights.to(values.device), values - self.full, dims=([0], [0]))


class OrderMoments(NamedTuple):
    """What was learned from pairs of opposite orders.

    Attributes:
        pairs: number of pairs.
        mean: mean contribution of each feature, shape (players, *value_shape).
        squares: sums of squared deviations of the pairs' means from it.
        full: value of all features.
        empty: value of no feature.
        generator: state of the generator that draws the next order.
        exact: whether all subsets were evaluated, so that there is no error.
    """

    pairs: int
    mean: Tensor
    squares: Tensor
    full: Tensor
    empty: Tensor
    generator: Tensor
    exact: bool = False

    @property
    def standard_error(self) -> Tensor | None:
        """Standard error of the mean over the pairs; ``None`` for a single pair."""
        if self.exact:
            return torch.zeros_like(self.mean)
        if self.pairs < 2:
            return None
        return (self.squares / (self.pairs - 1) / self.pairs).sqrt()


class SampledOrders:
    """The Shapley value estimated from random orders, each together with its reverse.

    In an order each feature contributes what its arrival changes. Orders are drawn one after the other, so
    that asking twice gives what asking once for both would give.
    """

    def __init__(
        self, full: Tensor, pairs: int, generator: torch.Generator, players: int, draw: DrawOrder | None = None
    ) -> None:
        """Begin with the value of all features, the number of pairs of orders, and their source.

        ``draw`` takes the generator and gives an order; its reverse must be as likely. All orders are by default.
        """
        self.full = full
        self.players = players
        self.pairs = pairs
        self.generator = generator
        self.draw = draw or (lambda source: torch.randperm(players, generator=source))
        self.taken = 0
        self.mean = torch.zeros(players, *full.shape, dtype=torch.float64, device=full.device)
        self.squares = torch.zeros_like(self.mean)
        self.empty = full
        self._asked: deque[tuple[Tensor, slice]] = deque()
        self._contributions: Tensor | None = None
        self._last = full

    def coalitions(self) -> Iterator[Tensor]:
        """Ask for the features that come first, for each length.

        Yields:
            Coalitions.
        """
        wide = 2 * self.players * max(self.players, 8 * self.full.numel())
        for group in slices(self.pairs, wide, _BUDGET):
            orders = [self.draw(self.generator) for _ in range(group.stop - group.start)]
            forward = torch.stack(orders).argsort(1)
            ranks = torch.stack([forward, self.players - 1 - forward], 1).flatten(0, 1)
            for lengths in slices(self.players, ranks.numel(), _BUDGET):
                self._asked.append((ranks, lengths))
                length = torch.arange(lengths.start, lengths.stop)
                yield (ranks[:, None] < length[:, None]).flatten(0, 1)

    def add(self, values: Tensor) -> None:
        """Take in values."""
        ranks, lengths = self._asked.popleft()
        found = values.reshape(len(ranks), -1, *self.full.shape)
        if lengths.start == 0:
            self.empty = found[0, 0]
            self._contributions = torch.empty(len(ranks), self.players, *self.full.shape).to(self.mean)
        elif self._contributions is not None:
            self._contributions[:, lengths.start - 1] = found[:, 0] - self._last
        if self._contributions is None:  # not reached: the first lengths begin at 0
            return
        self._contributions[:, lengths.start : lengths.stop - 1] = found.diff(dim=1)
        self._last = found[:, -1]
        if lengths.stop == self.players:
            self._contributions[:, -1] = self.full - self._last
            self._take(ranks.to(values.device), self._contributions)

    def _take(self, ranks: Tensor, contributions: Tensor) -> None:
        """Update the moments with the contributions of whole pairs, sorted by rank."""
        rows = torch.arange(len(ranks), device=ranks.device)[:, None]
        pairs = contributions[rows, ranks].reshape(-1, 2, *contributions.shape[1:]).mean(1)
        new, mean = len(pairs), pairs.mean(0)
        shift = mean - self.mean
        share = new / (self.taken + new)
        self.squares += (pairs - mean).square().sum(0) + shift.square() * (self.taken * share)
        self.mean += shift * share
        self.taken += new

    def moments(self, before: OrderMoments | None = None) -> OrderMoments:
        """Give what was learned, together with what had been learned before."""
        state = self.generator.get_state()
        if before is None:
            return OrderMoments(self.taken, self.mean, self.squares, self.full, self.empty, state)
        total = before.pairs + self.taken
        shift = self.mean - before.mean
        mean = before.mean + shift * (self.taken / total)
        squares = before.squares + self.squares + shift.square() * (before.pairs * self.taken / total)
        return OrderMoments(total, mean, squares, self.full, self.empty, state)
