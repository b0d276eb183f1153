"""What the metrics are tested on: functions whose scores can be written down, and a place for their calls."""

import torch
from torch import nn

from tests.models import DOUBLE, mlp

WEIGHTS = torch.tensor([3.0, -2.0, 0.5, 4.0, 1.0], dtype=DOUBLE)


class Counting(nn.Module):
    """Counts rows and calls of a function."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        self.rows = self.calls = 0

    def forward(self, *values):
        self.rows += len(values[0])
        self.calls += 1
        return self.inner(*values)


def linear(x):
    """F(x) = w . x."""
    return x @ WEIGHTS.to(x)


def rows(count=3, features=5, seed=0):
    return torch.randn(count, features, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def curved():
    """A model with three classes, inputs, a target for each and a baseline that is neither zero nor constant."""
    model, x = mlp(), rows(4)
    return model, x, [0, 2, 1, 0], rows(1, seed=5) / 3
