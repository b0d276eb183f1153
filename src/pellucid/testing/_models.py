"""Small models on which methods are checked: curved, float64, built from seeds of their own, and one that fails."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

DOUBLE = torch.float64


def mlp(
    features: int = 5, classes: int = 3, hidden: int = 8, activation: Callable[[], nn.Module] = nn.Tanh
) -> nn.Sequential:
    """Build a dense network with two hidden layers.

    Example:
        >>> import torch
        >>> from pellucid.testing import mlp
        >>> mlp()(torch.ones(2, 5, dtype=torch.float64)).shape
        torch.Size([2, 3])

    Args:
        features: number of inputs.
        classes: number of outputs.
        hidden: width.
        activation: gives the module behind each hidden layer.

    Returns:
        A model for inputs of shape (N, features), the same at every call.
    """
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(1)
        layers = (nn.Linear(features, hidden), activation(), nn.Linear(hidden, hidden), activation())
        return nn.Sequential(*layers, nn.Linear(hidden, classes)).to(DOUBLE).eval()


def cnn(classes: int = 3) -> nn.Sequential:
    """Build a network for images of two channels, with an in-place rectifier, batch norm and max-pooling.

    Example:
        >>> import torch
        >>> from pellucid.testing import cnn
        >>> cnn()(torch.ones(2, 2, 6, 6, dtype=torch.float64)).shape
        torch.Size([2, 3])

    Args:
        classes: number of outputs.

    Returns:
        A model for inputs of shape (N, 2, H, W) with H and W of 6 or more, the same at every call.
    """
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(2)
        layers = (
            *(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
            *(nn.Conv2d(4, 6, 3), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, classes)),
        )
        return nn.Sequential(*layers).to(DOUBLE).eval()


class TwoInputs(nn.Module):
    """Curved in two inputs of different shapes and in an additional argument.

    Example:
        >>> import torch
        >>> from pellucid.testing import TwoInputs
        >>> a, b = torch.zeros(2, 5), torch.zeros(2, 3, 4)
        >>> TwoInputs()(a, b).shape
        torch.Size([2, 12])

    Args:
        activation: what is done to the first input.
    """

    def __init__(self, activation: Callable[[Tensor], Tensor] = torch.sin) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, a: Tensor, b: Tensor, scale: Tensor | float = 1.0) -> Tensor:
        """Multiply a sum over the first input with exponentials of the second."""
        mixed = self.activation(a).sum(1, keepdim=True) * b.flatten(1).exp()
        if isinstance(scale, Tensor) and scale.dim() == 1:
            scale = scale[:, None]
        return mixed * scale


class PlantedError(Exception):
    """What ``Watched`` raises on demand; no method knows it."""


class Watched(nn.Module):
    """A model with all that a call could change, which fails at the evaluation that one asks for.

    It has a buffer that its forward pass writes, dropout and batch norm, a hook of the user's, a frozen parameter and a
    gradient that is already there. ``evaluations`` counts its forward passes; the one whose number is ``fail_at``
    raises ``PlantedError``.

    Example:
        >>> import torch
        >>> from pellucid.testing import Watched
        >>> model = Watched().eval()
        >>> model(torch.zeros(3, 4, dtype=torch.float64), torch.ones(3, 1)).shape, model.evaluations
        (torch.Size([3, 2]), 1)
    """

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(range(torch.cuda.device_count())):
            torch.manual_seed(3)
            self.first, self.norm = nn.Linear(4, 6), nn.BatchNorm1d(6)
            self.drop, self.last = nn.Dropout(1e-9), nn.Linear(6, 2)  # draws as any other, and integrals converge
        self.calls: Tensor
        self.register_buffer("calls", torch.zeros(1))
        self.fail_at: int | None = None
        self.evaluations = 0
        self.to(DOUBLE)
        self.first.register_forward_hook(_nothing)
        self.last.weight.requires_grad_(False)
        self.first.weight.grad = torch.ones_like(self.first.weight)

    def forward(self, x: Tensor, scale: Tensor) -> Tensor:
        """Evaluate, or fail."""
        self.evaluations += 1
        if self.evaluations == self.fail_at:
            raise PlantedError("the model failed")
        self.calls += 1
        hidden = nn.functional.softplus(self.drop(self.norm(self.first(x))))
        output: Tensor = self.last(hidden) * scale
        return output


def _nothing(*_: object) -> None:
    """A hook of the user's."""
