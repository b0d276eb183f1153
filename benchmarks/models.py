"""Models that the benchmarks run: unmodified, in evaluation mode, with fixed random weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class _Block(nn.Module):
    def __init__(self, width: int, wider: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, wider, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(wider)
        self.second = nn.Conv2d(wider, wider, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(wider)
        self.shortcut = nn.Identity() if width == wider else nn.Conv2d(width, wider, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.second_norm(self.second(F.relu(self.first_norm(self.first(x)))))
        return F.relu(self.shortcut(x) + hidden)


def resnet(width: int = 16) -> nn.Module:
    """A small residual network for 32 x 32 images."""
    torch.manual_seed(0)
    blocks = [_Block(width, width, 1), _Block(width, 2 * width, 2), _Block(2 * width, 4 * width, 2)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, 10)]
    return nn.Sequential(nn.Conv2d(3, width, 3, 1, 1), nn.ReLU(), *blocks, *head).eval()


def mlp() -> nn.Module:
    """Three layers on 784 features."""
    torch.manual_seed(0)
    layers = [nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)]
    return nn.Sequential(*layers).eval()


CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "ResNet, 1 image": (resnet, (1, 3, 32, 32)),
    "ResNet, 4 images": (resnet, (4, 3, 32, 32)),
    "wide ResNet, 4 images": (lambda: resnet(48), (4, 3, 32, 32)),
    "MLP, 1 row": (mlp, (1, 784)),
    "MLP, 16 rows": (mlp, (16, 784)),
}
"""Names to model builders and input shapes."""
