"""Complementary pairs of coalitions, drawn size by size without replacement.

A pair is a coalition and its complement; the coalition is the smaller of the two, and of two equal halves the one
with player 0. Sizes get pairs in proportion to ``(k (n - k))^(-1/2)``, which minimises the error of the Shapley
regression where values are independent of each other, and are enumerated where that covers them. Each size has a
stream of its own, of which a larger draw takes a longer beginning, so that what was evaluated before is used again
(but where a larger share takes another way to draw).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import torch
from torch import Tensor

from pellucid._core.random import generator_of

ENUMERATED = 2**11
"""Up to this many coalitions of a size, a random order of all of them is the stream."""
MANY = 2**62
"""Numbers beyond this one are not told apart."""
FEW = 8
"""A larger share than one in so many is taken from a random order of all in any case: draws would repeat too often."""


@dataclass(frozen=True)
class Pairs:
    """Pairs of one draw, the sizes one after the other.

    Attributes:
        coalitions: the smaller half of each pair, shape (pairs, players), bool.
        sizes: players in it, shape (pairs,), float64.
        taken: how many pairs were taken of each size 1, 2, ...
        fractions: share of all pairs of its size that was taken, for each pair, shape (pairs,), float64.
    """

    coalitions: Tensor
    sizes: Tensor
    taken: tuple[int, ...]
    fractions: Tensor

    def both(self) -> Tensor:
        """The coalitions, and then their complements, shape (2 * pairs, players)."""
        return torch.cat([self.coalitions, ~self.coalitions])

    @property
    def population(self) -> Tensor:
        """How many pairs each drawn one stands for, shape (pairs,), relative to all pairs of its size as one."""
        taken = torch.tensor(self.taken, dtype=torch.float64)
        return (1 / taken)[self.sizes.long() - 1]

    @property
    def complete(self) -> bool:
        """Whether every pair there is was drawn."""
        players = self.coalitions.shape[1]
        return len(self.coalitions) == all_pairs(players)


def default_budget(players: int) -> int:
    """Coalitions that regressions evaluate by default: 20 per player, 256 at least, all if there are no more."""
    most = max(256, 20 * players)
    return min(1 << players, most)


def all_pairs(players: int) -> int:
    """Count the pairs of a coalition that is neither empty nor full and its complement."""
    return (1 << players - 1) - 1


def pairs_of_size(players: int, size: int) -> int:
    """Count the pairs whose smaller half has ``size`` players, up to more than can be drawn."""
    if math.lgamma(players + 1) - math.lgamma(size + 1) - math.lgamma(players - size + 1) > math.log(MANY):
        return MANY
    return math.comb(players, size) // (2 if 2 * size == players else 1)


def allocate(players: int, count: int) -> list[int]:
    """Divide a number of pairs among the sizes 1, 2, ..., players // 2.

    Shares are rounded so that a larger count takes no pair back (the divisor method of Webster).
    """
    sizes = range(1, players // 2 + 1)
    most = [pairs_of_size(players, k) for k in sizes]
    if count >= sum(most):
        return most
    shares = [(0.5 if 2 * k == players else 1.0) / math.sqrt(k * (players - k)) for k in sizes]
    taken = [0] * len(most)
    room, left = set(range(len(most))), count
    while True:
        scale = left / sum(shares[i] for i in room)
        full = {i for i in room if scale * shares[i] >= most[i]}
        if not full:
            break
        for i in full:
            taken[i] = most[i]
        room -= full
        left -= sum(most[i] for i in full)
    for i in room:
        taken[i] = min(most[i], int(scale * shares[i] + 0.5))
    while (missing := count - sum(taken)) != 0:
        step = missing // abs(missing)
        free = (i for i in room if 0 <= taken[i] + step <= most[i])
        taken[max(free, key=lambda i: step * shares[i] / (taken[i] + step / 2))] += step
    return taken


def draw_pairs(players: int, count: int, seed: int) -> Pairs:
    """Draw pairs of coalitions.

    Args:
        players: number of players, at least 2.
        count: number of pairs; all of them if there are no more.
        seed: of the streams.

    Returns:
        The pairs; those of a smaller count with the same seed are among them.
    """
    taken = allocate(players, count)
    total = [pairs_of_size(players, k) for k in range(1, len(taken) + 1)]
    sizes = [k + 1.0 for k, m in enumerate(taken) for _ in range(m)]
    fractions = [m / total[k] for k, m in enumerate(taken) for _ in range(m)]
    return Pairs(
        torch.cat(_coalitions(players, taken, total, seed)),
        torch.tensor(sizes, dtype=torch.float64),
        tuple(taken),
        torch.tensor(fractions, dtype=torch.float64),
    )


def _coalitions(players: int, taken: list[int], total: list[int], seed: int) -> list[Tensor]:
    """The first coalitions of the stream of each size."""
    generator = torch.Generator()
    found = []
    for size, (count, most) in enumerate(zip(taken, total, strict=True), 1):
        if count == 0:
            continue
        own = (seed + size * 0x9E3779B97F4A7C15) % 2**63
        if most <= ENUMERATED or count * FEW > most:
            every = _enumerated(players, size) if most <= ENUMERATED else _enumerate(players, size)
            found.append(every[torch.randperm(most, generator=generator.manual_seed(own))[:count]])
        else:
            found.append(distinct(partial(_cut, players, size, generator, own), count))
    return found


@lru_cache(maxsize=128)
def _enumerated(players: int, size: int) -> Tensor:
    return _enumerate(players, size)


def _enumerate(players: int, size: int) -> Tensor:
    halves = 2 * size == players
    rest = itertools.combinations(range(1, players), size - 1) if halves else None
    chosen = [(0, *r) for r in rest] if rest is not None else list(itertools.combinations(range(players), size))
    places = torch.tensor(chosen)
    return torch.zeros(len(chosen), players, dtype=torch.bool).scatter_(1, places, True)


def _cut(players: int, size: int, generator: torch.Generator, seed: int, count: int) -> Tensor:
    """The first coalitions of a stream: each random order is cut into disjoint ones, which differ more than others."""
    generator.manual_seed(seed)
    halves = 2 * size == players
    each = 1 if halves else players // size
    orders = [torch.randperm(players, generator=generator) for _ in range(-(-count // each))]
    places = torch.stack(orders)[:, : each * size].reshape(-1, size)[:count]
    found = torch.zeros(count, players, dtype=torch.bool).scatter_(1, places, True)
    return found ^ ~found[:, :1] if halves else found


def distinct(stream: Callable[[int], Tensor], count: int) -> Tensor:
    """Take the first different rows from a stream of boolean rows.

    Args:
        stream: gives the first rows of the stream, as many as it is asked for.
        count: number of rows.

    Returns:
        The rows.
    """
    wanted = count
    while True:
        rows = stream(wanted)
        codes = (rows * _key(rows.shape[1])).sum(1).tolist()  # different but for one case in 2^63
        first = {code: i for i, code in zip(range(len(codes) - 1, -1, -1), reversed(codes), strict=True)}
        if len(first) >= count:
            return rows[:count] if len(first) == len(codes) else rows[sorted(first.values())[:count]]
        wanted += max(16, 2 * (count - len(first)))


@lru_cache(maxsize=8)
def _key(players: int) -> Tensor:
    """Random numbers whose sums tell coalitions apart."""
    return torch.randint(-(2**62), 2**62, (players,), generator=generator_of(players))
