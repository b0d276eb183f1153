"""Owen values: Shapley values when players join in the groups of a hierarchy.

A hierarchy is a tree whose leaves are the players. An order of the players is admissible if each group joins without
anybody else in between; the value of a player is its marginal contribution averaged over the admissible orders. So at
each level a group meets a random subset of its siblings, as in Shapley values, inside a random subset of its parent's
siblings, and so on up: its contexts. ``2 + sum over groups of contexts (2^children - 2)`` coalitions give the exact
values, instead of ``2^players``; random admissible orders, each with its reverse, give estimates.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from pellucid._core.door import accept_count
from pellucid.errors import invalid_type, invalid_value

Hierarchy: TypeAlias = "int | tuple[Hierarchy, ...]"
"""A player, or a group of players and groups."""


def accept_hierarchy(value: Any, players: int) -> Hierarchy:
    """Check a hierarchy of nested tuples or lists that holds the numbers of all players once."""
    hierarchy = _accept_node(value)
    found = players_in(hierarchy)
    if sorted(found) != list(range(players)):
        wrong = sorted(set(range(players)) ^ set(found)) or sorted({p for p in found if found.count(p) > 1})
        raise invalid_value(
            "hierarchy",
            f"one of {len(found)} features",
            f"each of the features 0 to {players - 1} is in it once, and {wrong[0]} is not",
            "nested tuples such as ((0, 1), (2, 3))",
        )
    return hierarchy


def _accept_node(value: Any) -> Hierarchy:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, tuple | list) or len(value) == 0:
        raise invalid_type(
            "hierarchy",
            f"one that holds {value!r}",
            "a group is a tuple of groups and features",
            "nested tuples of ints such as ((0, 1), (2, 3))",
        )
    return tuple(_accept_node(child) for child in value)


def quad_tree(height: int, width: int, depth: int = 3) -> tuple[Tensor, Hierarchy]:
    """Split an image into quarters, these into quarters, and so on.

    Args:
        height: rows of pixels.
        width: columns of pixels.
        depth: how often it is split, where there is something to split.

    Returns:
        The feature mask of the smallest parts, shape (1, 1, height, width), and their hierarchy.

    Example:
        >>> from pellucid.attr import quad_tree
        >>> mask, hierarchy = quad_tree(4, 4, depth=1)
        >>> mask[0, 0]
        tensor([[0, 0, 1, 1],
                [0, 0, 1, 1],
                [2, 2, 3, 3],
                [2, 2, 3, 3]])
        >>> hierarchy
        (0, 1, 2, 3)
    """
    for name, value, least in (("height", height, 1), ("width", width, 1), ("depth", depth, 0)):
        accept_count(name, value, least)
    mask, count = torch.zeros(1, 1, height, width, dtype=torch.long), itertools.count()

    def split(top: int, left: int, rows: int, columns: int, level: int) -> Hierarchy:
        if level == 0 or rows * columns == 1:
            number = next(count)
            mask[:, :, top : top + rows, left : left + columns] = number
            return number
        upper, lefter = (rows + 1) // 2, (columns + 1) // 2
        vertical = [(top, upper), (top + upper, rows - upper)]
        horizontal = [(left, lefter), (left + lefter, columns - lefter)]
        return tuple(split(t, x, h, w, level - 1) for t, h in vertical for x, w in horizontal if h and w)

    return mask, split(0, 0, height, width, depth)


def players_in(node: Hierarchy) -> list[int]:
    """List the players of a group in their order."""
    return [node] if isinstance(node, int) else [player for child in node for player in players_in(child)]


def owen_cost(node: Hierarchy, contexts: int = 1) -> int:
    """Count the coalitions that the exact values need, but for the empty and the full one."""
    if isinstance(node, int):
        return 0
    inside = contexts << len(node) - 1
    return contexts * ((1 << len(node)) - 2) + sum(owen_cost(child, inside) for child in node)


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
        alike = [1 / (len(node) * math.comb(len(node) - 1, t)) for t in range(len(node))]
        shares = torch.tensor(alike, dtype=torch.float64)
        chosen = (chances[:, None] * shares[subsets.sum(1)]).flatten()
        for k, child in enumerate(node):
            siblings = torch.cat([children[:k], children[k + 1 :]])
            unions = (subsets[:, :, None] & siblings).any(1)
            self.visit(child, (contexts[:, None] | unions).flatten(0, 1), chosen)


def _subsets(count: int) -> Tensor:
    """All subsets of some things, shape (2^count, count), bool."""
    codes = torch.arange(2**count)[:, None]
    return (codes >> torch.arange(count)) % 2 == 1


def admissible_order(hierarchy: Hierarchy, generator: torch.Generator) -> Tensor:
    """Draw an order of the players in which each group joins without anybody in between."""

    def shuffled(node: Hierarchy) -> list[int]:
        if isinstance(node, int):
            return [node]
        return [p for i in torch.randperm(len(node), generator=generator).tolist() for p in shuffled(node[i])]

    return torch.tensor(shuffled(hierarchy))


def exact_owen_values(values: Callable[[Tensor], Tensor], hierarchy: Hierarchy) -> Tensor:
    """Compute Owen values, shape (players, *shape), from the values of coalitions."""
    needed = owen_sum(hierarchy)
    found = values(needed.coalitions).double()
    owen: Tensor = torch.tensordot(needed.weights.to(found.device), found, dims=1)
    return owen
