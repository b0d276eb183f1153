"""Models that both libraries explain, what is asked of them, and where Captum is wrong on them and why."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from tests.layers.models import ConvNet, Mixed, Net, Tokens, draw, seeded
from tests.models import TwoInputs, mlp

GRADIENTS, PATHS, GAMES, DEEP_LIFT, RECTIFIERS, LRP = "gradients", "paths", "games", "DeepLIFT", "rectifiers", "LRP"

GATE = "a product of two values gets its plain gradient"
SMOOTH = "its activation is in no table, and gets its plain gradient"
NO_RECTIFIER = "there is no rectifier, and the plain gradient is returned"
REFUSED = "it refuses kinds of layers that are not in its table"
MIXES = "rows of a batch influence each other"
FUNCTION = "it is no module"


@dataclass(frozen=True)
class Question:
    """A model, its inputs and what is asked; ``wrong`` tells by family of methods why Captum is wrong there."""

    build: Callable[[], Callable[..., torch.Tensor]]
    inputs: Any
    target: Any
    baselines: Any
    more: Any = None
    wrong: dict[str, str] = field(default_factory=dict)

    @functools.cached_property
    def model(self) -> Callable[..., torch.Tensor]:
        return self.build()

    @property
    def call(self) -> dict[str, Any]:
        given = {"inputs": self.inputs, "target": self.target, "additional_forward_args": self.more}
        return {name: value for name, value in given.items() if value is not None}


class Functional(nn.Module):
    """Rectifies without a module."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(5, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.two(functional.relu(self.one(x)))


class Reused(nn.Module):
    """One rectifier in two places."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.three, self.act = nn.Linear(5, 6), nn.Linear(6, 6), nn.Linear(6, 3), nn.ReLU()

    def forward(self, x):
        return self.three(self.act(self.two(self.act(self.one(x)))))


class Skips(nn.Module):
    """A connection around a layer."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.three, self.act = nn.Linear(5, 6), nn.Linear(6, 6), nn.Linear(6, 3), nn.ReLU()

    def forward(self, x):
        hidden = self.one(x)
        return self.three(hidden + self.act(self.two(hidden)))


class Recurrent(nn.Module):
    """A recurrent layer over five steps."""

    def __init__(self):
        super().__init__()
        self.cell, self.out = nn.GRU(1, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, x):
        return self.out(self.cell(x[:, :, None])[0][:, -1])


def convolutions(pool, seed=5):
    layers = (
        *(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), pool, nn.Conv2d(4, 3, 3), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3)),
    )
    return lambda: seeded(seed, lambda: nn.Sequential(*layers))


def dense(activation):
    return lambda: seeded(3, lambda: Net(activation))


X, BASE, IMAGE = draw(3, 5, seed=1), draw(3, 5, seed=2), draw(2, 2, 8, 8, seed=3)
ONE_ROW, PAIR = draw(1, 5, seed=4), (draw(3, 5, seed=5), draw(3, 2, 2, seed=6))
SCALES = draw(3, seed=7)

QUESTIONS = {
    "tanh": Question(mlp, X, 1, BASE, wrong={RECTIFIERS: NO_RECTIFIER}),
    "tanh, a target each": Question(mlp, X, [0, 2, 1], ONE_ROW, wrong={RECTIFIERS: NO_RECTIFIER}),
    "relu": Question(dense(nn.ReLU), X, torch.tensor([2, 0, 1]), BASE),
    "relu, one target in a tensor": Question(dense(nn.ReLU), X, torch.tensor([2]), 0.25),
    "relu, a tuple of one": Question(dense(nn.ReLU), (X,), 2, (ONE_ROW,)),
    "sigmoid": Question(dense(nn.Sigmoid), X, 0, BASE, wrong={RECTIFIERS: NO_RECTIFIER, LRP: REFUSED}),
    "elu": Question(dense(nn.ELU), X, 0, 1, wrong={LRP: REFUSED, RECTIFIERS: SMOOTH}),
    "softplus": Question(dense(nn.Softplus), X, 0, BASE, wrong={LRP: REFUSED, RECTIFIERS: SMOOTH}),
    "leaky": Question(dense(nn.LeakyReLU), X, 0, BASE, wrong={LRP: REFUSED, RECTIFIERS: SMOOTH}),
    "gelu": Question(dense(nn.GELU), X, 0, BASE, wrong={DEEP_LIFT: SMOOTH, LRP: REFUSED, RECTIFIERS: SMOOTH}),
    "silu": Question(dense(nn.SiLU), X, 0, BASE, wrong={DEEP_LIFT: SMOOTH, LRP: REFUSED, RECTIFIERS: SMOOTH}),
    "functional relu": Question(
        lambda: seeded(4, Functional), X, 1, BASE, wrong={DEEP_LIFT: SMOOTH, RECTIFIERS: NO_RECTIFIER}
    ),
    "a rectifier in two places": Question(
        lambda: seeded(4, Reused), X, 1, BASE, wrong={DEEP_LIFT: "a module that is used twice raises an error"}
    ),
    "a skip connection": Question(
        lambda: seeded(4, Skips), X, 1, BASE, wrong={LRP: "sums of two branches do not conserve relevance"}
    ),
    "average pooling": Question(
        lambda: seeded(2, ConvNet), draw(2, 2, 6, 6, seed=2), 2, 0.1, wrong={LRP: REFUSED}
    ),
    "strided pooling": Question(convolutions(nn.AvgPool2d(2)), IMAGE, [0, 2], draw(1, 2, 8, 8), wrong={LRP: REFUSED}),
    "max-pooling": Question(
        convolutions(nn.MaxPool2d(2)), IMAGE, 1, draw(2, 2, 8, 8, seed=8),
        wrong={DEEP_LIFT: "max-pooling is not complete", LRP: REFUSED},
    ),
    "recurrent": Question(
        lambda: seeded(4, Recurrent), X, 1, BASE, wrong={DEEP_LIFT: GATE, LRP: REFUSED, RECTIFIERS: NO_RECTIFIER}
    ),
    "attention": Question(
        lambda: seeded(4, Tokens), draw(2, 4, 3, seed=7), 1, draw(1, 4, 3, seed=10),
        wrong={DEEP_LIFT: GATE, LRP: REFUSED, RECTIFIERS: NO_RECTIFIER},
    ),
    "two inputs": Question(
        TwoInputs, PAIR, 3, (BASE, 0.5), SCALES, wrong={DEEP_LIFT: GATE, LRP: REFUSED, RECTIFIERS: NO_RECTIFIER}
    ),
    "two inputs, a number": Question(
        TwoInputs, PAIR, [0, 1, 3], (0, PAIR[1][:1] + 1), (2.5,),
        wrong={DEEP_LIFT: GATE, LRP: REFUSED, RECTIFIERS: NO_RECTIFIER},
    ),
    "two inputs, two arguments": Question(
        lambda: seeded(3, Mixed), (draw(3, 4, seed=3), draw(3, 3, seed=4)), [2, 0, 1], (draw(3, 4, seed=9), 0.3),
        (draw(3, seed=6), 2), wrong={DEEP_LIFT: GATE, LRP: REFUSED, RECTIFIERS: NO_RECTIFIER},
    ),
    "one value per example": Question(
        lambda: lambda x: mlp()(x).square().sum(1), X, None, BASE,
        wrong={DEEP_LIFT: FUNCTION, LRP: FUNCTION, RECTIFIERS: FUNCTION},
    ),
    "outputs in a matrix": Question(
        lambda: lambda x: mlp()(x)[:, :, None] * torch.arange(1.0, 5.0), X, (1, 2), BASE,
        wrong={DEEP_LIFT: FUNCTION, LRP: FUNCTION, RECTIFIERS: FUNCTION},
    ),
    "outputs in a matrix, a place each": Question(
        lambda: lambda x: mlp()(x)[:, :, None] * torch.arange(1.0, 5.0), X, [(0, 1), (2, 3), (1, 0)], BASE,
        wrong={DEEP_LIFT: FUNCTION, LRP: FUNCTION, RECTIFIERS: FUNCTION},
    ),
    "statistics of the batch": Question(
        lambda: lambda x: (x - x.mean(0)).pow(3) @ torch.arange(1.0, 6.0, dtype=x.dtype), X, None, BASE,
        wrong={PATHS: MIXES, DEEP_LIFT: FUNCTION, LRP: FUNCTION, RECTIFIERS: FUNCTION},
    ),
}  # fmt: skip
