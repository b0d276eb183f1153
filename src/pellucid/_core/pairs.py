"""Complementary pairs of coalitions, drawn size by size without replacement.

A pair is a coalition and its complement; the coalition is the smaller of the two, and of two equal halves the one
with player 0. Sizes get pairs in proportion to ``(k (n - k))^(-1/2)``, which minimises the error of the Shapley
regression where values are independent of each other, and are enumerated where that covers them. Each size has a
stream of its own, of which a larger draw takes a longer beginning: what was evaluated before is used again.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from pellucid._core.random import generator_of

ENUMERATED = 2**13
"""Up to this many coalitions of a size, a random order of all of them is the stream."""


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
    """Count the pairs whose smaller half has ``size`` players."""
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
        if missing > 0:
            i = max((i for i in room if taken[i] < most[i]), key=lambda i: shares[i] / (taken[i] + 0.5))
        else:
            i = min((i for i in room if taken[i] > 0), key=lambda i: shares[i] / (taken[i] - 0.5))
        taken[i] += 1 if missing > 0 else -1
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
    drawn = [_first_of(players, k + 1, m, seed) for k, m in enumerate(taken) if m]
    sizes = [k + 1.0 for k, m in enumerate(taken) for _ in range(m)]
    fractions = [m / total[k] for k, m in enumerate(taken) for _ in range(m)]
    return Pairs(
        torch.cat(drawn),
        torch.tensor(sizes, dtype=torch.float64),
        tuple(taken),
        torch.tensor(fractions, dtype=torch.float64),
    )


def _first_of(players: int, size: int, count: int, seed: int) -> Tensor:
    """The first coalitions of the stream of one size."""
    total = pairs_of_size(players, size)
    if count == total > ENUMERATED:
        return _enumerate(players, size)
    generator = generator_of((seed + size * 0x9E3779B97F4A7C15) % 2**63)
    if total <= ENUMERATED:
        return _enumerated(players, size)[torch.randperm(total, generator=generator)[:count]]
    return distinct(_blocks(players, size, generator), count)


@lru_cache(maxsize=128)
def _enumerated(players: int, size: int) -> Tensor:
    return _enumerate(players, size)


def _enumerate(players: int, size: int) -> Tensor:
    halves = 2 * size == players
    rest = itertools.combinations(range(1, players), size - 1) if halves else None
    chosen = [(0, *r) for r in rest] if rest is not None else list(itertools.combinations(range(players), size))
    places = torch.tensor(chosen)
    return torch.zeros(len(chosen), players, dtype=torch.bool).scatter_(1, places, True)


def _blocks(players: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Coalitions of one size without end: each random order is cut into disjoint ones, so that all players take part.

    Yields:
        Coalitions, shape (players // size, players).
    """
    halves = 2 * size == players
    blocks = 1 if halves else players // size
    while True:
        places = torch.randperm(players, generator=generator)[: blocks * size].reshape(blocks, size)
        found = torch.zeros(blocks, players, dtype=torch.bool).scatter_(1, places, True)
        yield (found if bool(found[0, 0]) else ~found) if halves else found


def distinct(stream: Iterator[Tensor], count: int) -> Tensor:
    """Take the first ``count`` different rows from a stream of blocks of boolean rows."""
    kept: list[Tensor] = []
    seen: set[int] = set()
    while len(seen) < count:
        wanted = count - len(seen)
        blocks = [next(stream)]
        while sum(len(b) for b in blocks) < wanted:
            blocks.append(next(stream))
        rows = torch.cat(blocks)
        fresh = []
        for i, code in enumerate(_codes(rows)):
            if code not in seen and len(seen) < count:
                seen.add(code)
                fresh.append(i)
        kept.append(rows[fresh])
    return torch.cat(kept)


def _codes(rows: Tensor) -> list[int]:
    """One number per row; rows of different content get different numbers but for one case in 2^63."""
    key = torch.randint(-(2**62), 2**62, (rows.shape[1],), generator=generator_of(rows.shape[1]))
    return [int(code) for code in (rows * key).sum(1).tolist()]
