"""Small models for tests: curved, multi-input, odd outputs, and ones that mix the examples of a batch."""

from dataclasses import dataclass

import torch
from torch import nn

DOUBLE = torch.float64


class ToyModel(nn.Module):
    """The three-neuron network of the documentation that the project starts from."""

    def __init__(self):
        super().__init__()
        self.lin1 = nn.Linear(3, 3)
        self.relu = nn.ReLU()
        self.lin2 = nn.Linear(3, 2)
        self.lin1.weight = nn.Parameter(torch.arange(-4.0, 5.0).view(3, 3))
        self.lin1.bias = nn.Parameter(torch.zeros(1, 3))
        self.lin2.weight = nn.Parameter(torch.arange(-3.0, 3.0).view(2, 3))
        self.lin2.bias = nn.Parameter(torch.ones(1, 2))

    def forward(self, x):
        return self.lin2(self.relu(self.lin1(x)))


def toy():
    """The toy model in float64 with its inputs, drawn in float32 as the printed figures were."""
    model = ToyModel().eval().to(DOUBLE)
    torch.manual_seed(123)
    return model, torch.rand(2, 3).to(DOUBLE)


def mlp(features=5, classes=3, hidden=8, activation=nn.Tanh):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        layers = (nn.Linear(features, hidden), activation(), nn.Linear(hidden, hidden), activation())
        return nn.Sequential(*layers, nn.Linear(hidden, classes)).to(DOUBLE).eval()


def cnn(classes=3):
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return (
            nn.Sequential(
                nn.Conv2d(2, 4, 3, padding=1),
                nn.BatchNorm2d(4),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(2),
                nn.Conv2d(4, 6, 3),
                nn.GELU(),
                nn.AdaptiveAvgPool2d(1),
                nn.Flatten(),
                nn.Linear(6, classes),
            )
            .to(DOUBLE)
            .eval()
        )


class TwoInputs(nn.Module):
    """Curved in two inputs of different shapes and in an additional argument."""

    def forward(self, a, b, scale=1.0):
        mixed = torch.sin(a).sum(1, keepdim=True) * b.flatten(1).exp()
        if isinstance(scale, torch.Tensor) and scale.dim() == 1:
            scale = scale[:, None]
        return mixed * scale


class GraphNet(nn.Module):
    """Sums messages along edges; its rows are the nodes of one graph."""

    def __init__(self, features=3, classes=2):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.inner = nn.Linear(features, 4).to(DOUBLE)
            self.outer = nn.Linear(4, classes).to(DOUBLE)

    def forward(self, nodes, edges):
        source, target = edges
        hidden = torch.tanh(self.inner(nodes))
        gathered = torch.zeros_like(hidden).index_add(0, target, hidden[source])
        return self.outer(torch.tanh(gathered + hidden)) ** 2


@dataclass
class Output:
    """A model output with a name for each tensor."""

    ids: torch.Tensor
    logits: torch.Tensor
