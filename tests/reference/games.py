"""Games and their solutions as the definitions say, one coalition and one order at a time."""

import itertools
import math

import torch

from tests.models import DOUBLE


def coalition_value(model, x, baseline, kept):
    """The model's output at x where ``kept``, else at the baseline; everything with the shape of x."""
    return model(torch.where(kept, x, baseline.expand_as(x)))


def shapley_values(value, players):
    """Sum over all coalitions S without i of |S|! (n-|S|-1)! / n! * (v(S with i) - v(S)); v takes a tuple."""
    found = []
    for i in range(players):
        others = [j for j in range(players) if j != i]
        total = 0.0
        for size in range(players):
            weight = math.factorial(size) * math.factorial(players - size - 1) / math.factorial(players)
            for rest in itertools.combinations(others, size):
                total = total + weight * (value((*rest, i)) - value(rest))
        found.append(total)
    return torch.stack(found) if isinstance(found[0], torch.Tensor) else torch.tensor(found, dtype=DOUBLE)
