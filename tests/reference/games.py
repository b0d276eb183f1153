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


def table_game(players, generator, outputs=()):
    """A model that looks the value of a coalition up: 1 where a feature is there, 0 where it is not; and its table."""
    table = torch.randn(2**players, *outputs, dtype=DOUBLE, generator=generator)

    def model(x):
        return table[(x.long() * 2 ** torch.arange(players)).sum(1)]

    return model, table


def value_in(table):
    """The value of a coalition, given as a tuple of players, in a table."""
    return lambda members: table[sum(2**i for i in members)]


def occlusion(model, x, baseline, window, strides):
    """Mean loss over the windows that cover a value, one window and one value at a time; model gives one per row."""
    full, lost, count = model(x), torch.zeros_like(x), torch.zeros(x.shape[1:], dtype=x.dtype)
    places = []
    for size, width, stride in zip(x.shape[1:], window, strides, strict=True):
        starts = [0]
        while starts[-1] + width < size:
            starts.append(starts[-1] + stride)
        places.append([slice(s, min(s + width, size)) for s in starts])
    for place in itertools.product(*places):
        changed = x.clone()
        changed[(slice(None), *place)] = baseline.expand_as(x)[(slice(None), *place)]
        loss = full - model(changed)
        lost[(slice(None), *place)] += loss.reshape(-1, *(1,) * (x.dim() - 1))
        count[place] += 1
    return lost / count
