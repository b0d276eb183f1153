"""Shapley regressions, interactions, Owen values and surrogates as their definitions say, slowly."""

import itertools
import math

import torch

from tests.models import DOUBLE


def all_coalitions(players):
    """All coalitions; row k holds the players whose bits are set in k."""
    return (torch.arange(2**players)[:, None] >> torch.arange(players)) % 2 == 1


def network_game(players, seed):
    """Values of all coalitions of a small random network between a random input and baseline."""
    source = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, dtype=DOUBLE, generator=source)  # noqa: E731
    bend = (torch.tanh, torch.relu, torch.nn.functional.gelu)[seed % 3]
    first, second, last = draw(players, 16) * 1.5 / players**0.5, draw(16, 16) * 0.4, draw(16)
    x, base, shift = draw(players), 0.3 * draw(players), 0.5 * draw(16)
    return bend(bend(torch.where(all_coalitions(players), x, base) @ first + shift) @ second) @ last


def independent_game(players, seed):
    """A value for each coalition, independent of all others."""
    return torch.randn(2**players, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


def shapley_of(values):
    """Shapley values of a game given by the values of all coalitions, by the sum over those without i."""
    players = len(values).bit_length() - 1
    members, number = all_coalitions(players), torch.arange(len(values))
    weight = torch.tensor([1 / (players * math.comb(players - 1, s)) for s in range(players)] + [0.0], dtype=DOUBLE)
    found = []
    for i in range(players):
        without = number[~members[:, i]]
        effect = values[without | 1 << i] - values[without]
        found.append((weight[members[without].sum(1)] * effect).sum())
    return torch.stack(found)


def interactions_of(values):
    """The Shapley interaction index of all pairs, by the sum over coalitions of the others; zero on the diagonal."""
    players = len(values).bit_length() - 1
    members, number = all_coalitions(players), torch.arange(len(values))
    weight = [math.factorial(t) * math.factorial(players - t - 2) for t in range(players - 1)]
    weight = torch.tensor(weight, dtype=DOUBLE) / math.factorial(players - 1)
    found = torch.zeros(players, players, dtype=DOUBLE)
    for i, j in itertools.combinations(range(players), 2):
        rest, a, b = number[~members[:, i] & ~members[:, j]], 1 << i, 1 << j
        effect = values[rest | a | b] - values[rest | a] - values[rest | b] + values[rest]
        found[i, j] = (weight[members[rest].sum(1)] * effect).sum()
    return found + found.T


def admissible_orders(node):
    """All orders of a hierarchy in which each group joins without anybody in between."""
    if isinstance(node, int):
        yield (node,)
        return
    for children in itertools.permutations(node):
        for parts in itertools.product(*(list(admissible_orders(child)) for child in children)):
            yield sum(parts, ())


def owen_of(values, hierarchy):
    """Mean marginal contributions over all admissible orders."""
    players = len(values).bit_length() - 1
    total, count = torch.zeros(players, dtype=DOUBLE), 0
    for order in admissible_orders(hierarchy):
        joined, count = 0, count + 1
        for player in order:
            total[player] += values[joined | 1 << player] - values[joined]
            joined |= 1 << player
    return total / count


def leverage_estimate(values, rows, generator):
    """Plain leverage-score estimate: paired Bernoulli draws, sizes equally likely, and the weighted regression.

    Each pair {S, complement} is in the sample with probability min(1, c / C(n, |S|)), c so that the expected number
    of rows is what it should be; the regression weights are the kernel's over that probability.
    """
    players = len(values).bit_length() - 1
    last = len(values) - 1
    pairs = [(k, last - k) for k in range(1, last) if k < last - k]
    sizes = torch.tensor([bin(k).count("1") for k, _ in pairs])
    number = torch.tensor([math.comb(players, int(s)) for s in sizes], dtype=DOUBLE)
    low, high = 0.0, 1e9
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if (middle / number).clamp(max=1).sum() < (rows - 2) / 2 else (low, middle)
    chance = (low / number).clamp(max=1)
    taken = torch.rand(len(pairs), dtype=DOUBLE, generator=generator) < chance
    chosen = [pair for pair, yes in zip(pairs, taken.tolist(), strict=True) if yes]
    kernel = (players - 1) / (number * sizes * (players - sizes)) / chance
    codes = torch.tensor([code for pair in chosen for code in pair])
    weights = kernel[taken].repeat_interleave(2)
    return constrained_regression(all_coalitions(players)[codes], values[codes], weights, values[0], values[-1])


def constrained_regression(members, values, weights, empty, full):
    """Weighted least squares with the total as a constraint: the last player's value is what the others leave."""
    z = members.to(DOUBLE)
    design = z[:, :-1] - z[:, -1:]
    aim = values - empty - z[:, -1] * (full - empty)
    root = weights.sqrt()[:, None]
    solved = torch.linalg.lstsq(root * design, root * aim[:, None], driver="gelsd").solution[:, 0]
    return torch.cat([solved, (full - empty - solved.sum())[None]])


def weighted_linear(members, values, weights):
    """Intercept and coefficients of weighted least squares, by the normal equations."""
    design = torch.cat([torch.ones(len(members), 1, dtype=DOUBLE), members.to(DOUBLE)], dim=1)
    return torch.linalg.solve(design.T @ (weights[:, None] * design), design.T @ (weights * values))
