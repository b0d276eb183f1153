"""What the methods are compared on: models that Captum is right on, each with a layer and batches.

Captum puts its rules on modules, so the models have no functional operation whose gradient a rule would replace, and
no module is used twice.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.perturbation import squares


class Parts(nn.Module):
    """Two parts in a row, so that what lies before and after a layer can be evaluated alone."""

    def __init__(self, before: nn.Module, after: nn.Module) -> None:
        super().__init__()
        self.before, self.after = before, after

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate both."""
        return self.after(self.before(x))


class Head(nn.Module):
    """The rest of a network behind its features, with their mean over the places, and a classifier."""

    def __init__(self, rest: nn.Module, width: int) -> None:
        super().__init__()
        self.rest, self.pool, self.linear = rest, nn.AdaptiveAvgPool2d(1), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Classify feature maps (N, C, H, W)."""
        return self.linear(self.pool(self.rest(x)).flatten(1))


class Tokens(nn.Module):
    """The rest of an encoder, and a classifier on the mean of the tokens."""

    def __init__(self, rest: nn.Module, width: int) -> None:
        super().__init__()
        self.rest, self.linear = rest, nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Classify embedded tokens (N, T, width)."""
        return self.linear(self.rest(x).mean(1))


def mlp() -> Parts:
    """Three layers on 20 features."""
    before = nn.Sequential(nn.Linear(20, 64), nn.ReLU())
    return Parts(before, nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)))


def cnn(width: int, blocks: int) -> Parts:
    """Convolutions: one layer and a pooling before the layer that is explained, then ``blocks`` pairs of layers."""
    before = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
    rest: list[nn.Module] = []
    for block in range(blocks):
        inputs = width * (1 if block == 0 else 2)
        rest += [nn.Conv2d(inputs, 2 * width, 3, padding=1), nn.ReLU()]
    return Parts(before, Head(nn.Sequential(*rest), 2 * width))


def transformer(width: int = 128) -> Parts:
    """Four encoder layers on embedded tokens; the explained layer is the second."""
    layers = [nn.TransformerEncoderLayer(width, 4, 4 * width, batch_first=True, activation="gelu") for _ in range(4)]
    return Parts(nn.Sequential(*layers[:2]), Tokens(nn.Sequential(*layers[2:]), width))


@dataclass(frozen=True)
class Subject:
    """A model with a batch.

    Attributes:
        name: what the tables say.
        build: makes the model.
        shape: of the batch.
        kind: ``"rows"``, ``"images"`` or ``"tokens"``.
    """

    name: str
    build: Callable[[], Parts]
    shape: tuple[int, ...]
    kind: str

    @property
    def size(self) -> int:
        """Number of examples."""
        return self.shape[0]

    def prepare(self) -> tuple[Parts, Tensor]:
        """Make the model, in evaluation mode and with fixed random weights, and the batch."""
        torch.manual_seed(0)
        return self.build().eval(), torch.randn(self.shape)

    def segments(self, most: int) -> Tensor | None:
        """Give a mask with at most so many square segments for images; rows are their own features."""
        if self.kind != "images":
            return torch.arange(self.shape[1]) % most if most < self.shape[1] else None
        width = self.shape[-1]
        if most < 16:
            return torch.arange(width) * most // width
        side = width // 4
        while (width // (side // 2)) ** 2 <= most:
            side //= 2
        return squares(width, side)

    def features(self, most: int) -> int:
        """Count the features of that mask."""
        mask = self.segments(most)
        return self.shape[1] if mask is None else int(mask.max()) + 1

    def neuron(self) -> tuple[int, ...]:
        """Give the index of a neuron of the layer."""
        return {"rows": (3,), "images": (1, 3, 4), "tokens": (2, 5)}[self.kind]


small = functools.partial(cnn, 8, 1)
larger = functools.partial(cnn, 16, 3)

SUBJECTS = {
    "MLP x 1": Subject("MLP x 1", mlp, (1, 20), "rows"),
    "MLP x 16": Subject("MLP x 16", mlp, (16, 20), "rows"),
    "small CNN x 1": Subject("small CNN x 1", small, (1, 3, 16, 16), "images"),
    "small CNN x 8": Subject("small CNN x 8", small, (8, 3, 16, 16), "images"),
    "CNN x 4": Subject("CNN x 4", larger, (4, 3, 32, 32), "images"),
    "transformer x 4": Subject("transformer x 4", transformer, (4, 32, 128), "tokens"),
}
"""Names to models with batches."""
