"""Small models for tests: curved, multi-input, odd outputs, and ones that mix the examples of a batch."""

import contextlib
import warnings
from dataclasses import dataclass

import torch
from torch import nn

from pellucid.testing import TwoInputs, cnn, mlp

__all__ = ["DOUBLE", "GraphNet", "Output", "ToyModel", "TwoInputs", "cnn", "mlp", "quiet_if", "toy"]

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


@contextlib.contextmanager
def quiet_if(training):
    """In training mode the model's own randomness makes rows differ and integrals rough; that is warned about."""
    with warnings.catch_warnings():
        if training:
            warnings.simplefilter("ignore")
        yield
