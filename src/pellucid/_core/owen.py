"""Owen values: Shapley values when players join in the groups of a hierarchy.

A hierarchy is a tree whose leaves are the players. An order of the players is admissible if each group joins without
anybody else in between; the value of a player is its marginal contribution averaged over the admissible orders. So at
each level a group meets a random subset of its siblings, as in Shapley values, inside a random subset of its parent's
siblings, and so on up: its contexts. ``2 + sum over groups of contexts (2^children - 2)`` coalitions give the exact
values, instead of ``2^players``; random admissible orders, each with its reverse, give estimates.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from pellucid._core.random import generator_of

Hierarchy: TypeAlias = "int | tuple[Hierarchy, ...]"
"""A player, or a group of players and groups."""


def players_in(node: Hierarchy) -> list[int]:
    """List the players of a group in their order."""
    return [node] if isinstance(node, int) else [player for child in node for player in players_in(child)]


def owen_cost(node: Hierarchy, contexts: int = 1) -> int:
    """Count the coalitions that the exact values need, but for the empty and the full one."""
    if isinstance(node, int):
        return 0
    inside = contexts * 2 ** (len(node) - 1)
    return contexts * (2 ** len(node) - 2) + sum(owen_cost(child, inside) for child in node)


@dataclass(frozen=True)
class OwenSum:
    """Owen values as a weighted sum of values of coalitions.

    Attributes:
        coalitions: shape (coalitions, players), bool.
        weights: of each coalition in each player's value, shape (players, coalitions), float64.
    """

    coalitions: Tensor
    weights: Tensor


def owen_sum(hierarchy: Hierarchy) -> OwenSum:
    """Write exact Owen values as a sum over coalitions.

    Args:
        hierarchy: every player 0, 1, ... once.

    Returns:
        The coalitions, each once, and their weights.
    """
    players = len(players_in(hierarchy))
    found = _Terms(players)
    found.visit(hierarchy, torch.zeros(1, players, dtype=torch.bool), torch.ones(1, dtype=torch.float64))
    coalitions, places = torch.unique(torch.cat(found.coalitions), dim=0, return_inverse=True)
    weights = torch.zeros(players, len(coalitions), dtype=torch.float64)
    weights.index_put_((torch.cat(found.players), places), torch.cat(found.weights), accumulate=True)
    return OwenSum(coalitions, weights)


class _Terms:
    """Collects the terms of the sum: coalition, player and weight."""

    def __init__(self, players: int) -> None:
        self.count = players
        self.coalitions: list[Tensor] = []
        self.players: list[Tensor] = []
        self.weights: list[Tensor] = []

    def visit(self, node: Hierarchy, contexts: Tensor, chances: Tensor) -> None:
        """Take in a group that joins in contexts of shape (contexts, players) with chances of shape (contexts,)."""
        if isinstance(node, int):
            joined = contexts.clone()
            joined[:, node] = True
            for coalitions, weights in ((joined, chances), (contexts, -chances)):
                self.coalitions.append(coalitions)
                self.players.append(torch.full((len(weights),), node))
                self.weights.append(weights)
            return
        children = torch.zeros(len(node), self.count, dtype=torch.bool)
        for row, child in zip(children, node, strict=True):
            row[players_in(child)] = True
        subsets = _subsets(len(node) - 1)
        shares = torch.tensor([1 / (len(node) * math.comb(len(node) - 1, t)) for t in range(len(node))]).double()
        chosen = (chances[:, None] * shares[subsets.sum(1)]).flatten()
        for k, child in enumerate(node):
            siblings = torch.cat([children[:k], children[k + 1 :]])
            unions = (subsets[:, :, None] & siblings).any(1)
            self.visit(child, (contexts[:, None] | unions).flatten(0, 1), chosen)


def _subsets(count: int) -> Tensor:
    """All subsets of some things, shape (2^count, count), bool."""
    codes = torch.arange(2**count)[:, None]
    return (codes >> torch.arange(count)) % 2 == 1


def admissible_order(hierarchy: Hierarchy, seed: int) -> list[int]:
    """Draw an order of the players in which each group joins without anybody in between."""
    generator = generator_of(seed)

    def shuffled(node: Hierarchy) -> list[int]:
        if isinstance(node, int):
            return [node]
        return [p for i in torch.randperm(len(node), generator=generator).tolist() for p in shuffled(node[i])]

    return shuffled(hierarchy)


def exact_owen_values(values: Callable[[Tensor], Tensor], hierarchy: Hierarchy) -> Tensor:
    """Compute Owen values, shape (players, *shape), from the values of coalitions."""
    needed = owen_sum(hierarchy)
    found = values(needed.coalitions).double()
    return (needed.weights @ found.flatten(1)).reshape(-1, *found.shape[1:])
